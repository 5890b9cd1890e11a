/**
 * What records and answers have in common of the format of FlatBuffers: strings, blobs, vtables, alignment.
 *
 * A string is its length (uint32), UTF-8, a zero byte that the length does not count, and zeros to a multiple of 4. A
 * table begins with the distance back to its vtable; a vtable holds its bytes, its table's bytes, and for each field
 * where in the table it lies (0: absent), uint16 each. An offset counts from where it stands.
 */

/** A Blob's vtable, and the bytes of its table: the distance to it, and the offset of `data`. */
export const BLOB_VTABLE = Uint8Array.of(6, 0, 8, 0, 4, 0);
export const BLOB_TABLE_BYTES = 8;
/** In every Blob written here the vector lies right behind its table. */
export const BLOB_DATA_OFFSET = BLOB_TABLE_BYTES - 4;

/** Texts up to this many characters are written in a loop: a call into the engine's encoder costs as much. */
const SHORT_TEXT = 48;

export function aligned(at: number, to: number): number {
  return Math.ceil(at / to) * to;
}

/** Bytes that a string of so many bytes of UTF-8 takes. */
export function stringSpace(length: number): number {
  return aligned(4 + length + 1, 4);
}

/** Bytes that a Blob of so many bytes takes, without its vtable. */
export function blobSpace(length: number): number {
  return aligned(BLOB_TABLE_BYTES + 4 + length, 4);
}

/** Writes UTF-8, and returns how many bytes. There must be room for three bytes a character. */
export function writeText(into: Buffer, at: number, text: string): number {
  if (text.length > SHORT_TEXT) return into.write(text, at, 'utf8');
  for (let place = 0; place < text.length; place++) {
    const unit = text.charCodeAt(place);
    if (unit >= 0x80) return into.write(text, at, 'utf8');
    into[at + place] = unit;
  }
  return text.length;
}

/** `entries`: for each field in order where in the table it lies, 0 when it is absent. */
export function writeVtable(into: Buffer, at: number, tableBytes: number, entries: readonly number[]): void {
  into.writeUInt16LE(4 + 2 * entries.length, at);
  into.writeUInt16LE(tableBytes, at + 2);
  entries.forEach((entry, field) => {
    into.writeUInt16LE(entry, at + 4 + 2 * field);
  });
}
