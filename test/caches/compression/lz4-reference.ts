/** The format of LZ4 blocks as its description has it, byte by byte: what the fast way is compared with. */

/** What the block stands for, `undefined` when it is none of `length` bytes. */
export function expandSlowly(block: Uint8Array, length: number): Uint8Array | undefined {
  const bytes: number[] = [];
  let at = 0;
  const next = () => {
    const byte = block[at++];
    if (byte === undefined) throw new RangeError('the block ends here');
    return byte;
  };
  const number = (four: number) => {
    let sum = four;
    for (let more = four === 15 ? 255 : 0; more === 255; sum += more) more = next();
    return sum;
  };
  try {
    for (;;) {
      const token = next();
      for (let left = number(token >> 4); left > 0; left--) bytes.push(next());
      if (at === block.length) return bytes.length === length ? Uint8Array.from(bytes) : undefined;
      const distance = next() + 256 * next();
      if (distance === 0 || distance > bytes.length) return undefined;
      for (let left = number(token & 15) + 4; left > 0; left--) {
        if (bytes.length === length) return undefined;
        bytes.push(bytes[bytes.length - distance] as number);
      }
    }
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
