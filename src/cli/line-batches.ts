/** Cuts a stream of bytes into batches of whole lines, and knows the number of each batch's first line. */

export interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** From 1. */
  readonly firstLine: number;
  /** Numbers of lines left out because they were too long. */
  readonly tooLong: readonly number[];
}

const BATCH_BYTES = 2 << 20;
export const LINE_BYTES_MAX = 16 << 20;
const NEWLINE = 10;

export interface BatchSizes {
  readonly batchBytes: number;
  readonly lineBytesMax: number;
}

const STANDARD: BatchSizes = { batchBytes: BATCH_BYTES, lineBytesMax: LINE_BYTES_MAX };

/**
 * Memory is bounded by `lineBytesMax` and a batch, whatever comes. Where the stream breaks its error is thrown, and what
 * came since the last batch is not handed out: of a damaged archive, it may be garbage that reads like records.
 */
export async function* batchesOf(
  chunks: AsyncIterable<Uint8Array | string>,
  sizes = STANDARD,
): AsyncGenerator<Batch> {
  let parts: Uint8Array[] = [];
  let held = 0;
  let line = 1;
  let skipping = false;
  let tooLong: number[] = [];

  function take(cut: Uint8Array[]): Batch {
    const bytes = Buffer.concat(cut);
    const batch = { bytes, firstLine: line, tooLong };
    line += countLines(bytes);
    tooLong = [];
    return batch;
  }

  for await (const part of chunks) {
    let chunk: Uint8Array = typeof part === 'string' ? Buffer.from(part) : part;
    if (skipping) {
      const end = chunk.indexOf(NEWLINE);
      if (end < 0) continue;
      chunk = chunk.subarray(end + 1);
      skipping = false;
      line++;
    }
    parts.push(chunk);
    held += chunk.length;
    if (held < sizes.batchBytes) continue;
    const last = lastNewline(parts);
    if (last !== undefined) {
      const { before, after } = last;
      yield take(before);
      parts = after;
      held = after.reduce((sum, { length }) => sum + length, 0);
    }
    if (held > sizes.lineBytesMax) {
      tooLong.push(line);
      skipping = true;
      parts = [];
      held = 0;
    }
  }
  if (held > 0 || tooLong.length > 0) yield take(parts);
}

/** The parts up to and with their last line's end, and what follows it. */
function lastNewline(
  parts: readonly Uint8Array[],
): { before: Uint8Array[]; after: Uint8Array[] } | undefined {
  for (let at = parts.length - 1; at >= 0; at--) {
    const part = parts[at];
    const newline = part?.lastIndexOf(NEWLINE) ?? -1;
    if (part === undefined || newline < 0) continue;
    const before = [...parts.slice(0, at), part.subarray(0, newline + 1)];
    return { before, after: [part.subarray(newline + 1), ...parts.slice(at + 1)] };
  }
  return undefined;
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
