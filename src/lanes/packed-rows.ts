/**
 * Rows of records in one buffer, so that a reply of any size crosses a thread by transfer of one buffer:
 *
 *     uint32 offset, uint32 length │ … per row │ uint8 status … per row │ records, each on a multiple of 8
 *
 * Offset and length are in bytes of the buffer, 0 and 0 where the status is not PRESENT. Records lie on multiples of 8
 * so that typed arrays can be laid over their columns. Rows that are the same array share one copy: a lookup may name
 * one large record thousands of times.
 */

/** As in `headrace.fbs`; and `deferred`, which no client sees: the reply was full, ask again for this row. */
export const ROW = { present: 0, notFound: 1, unavailable: 2, deferred: 3 } as const;
export type RowStatus = (typeof ROW)[keyof typeof ROW];

/** A record's bytes, or why there is none. */
export type Row = Uint8Array | typeof ROW.notFound | typeof ROW.unavailable | typeof ROW.deferred;

const ENTRY_BYTES = 8;

export function packRows(rows: readonly Row[]): ArrayBuffer {
  const places = new Map<Uint8Array, number>();
  let end = aligned(rows.length * (ENTRY_BYTES + 1));
  for (const row of rows) {
    if (typeof row === 'number' || places.has(row)) continue;
    places.set(row, end);
    end += aligned(row.byteLength);
  }
  const buffer = new ArrayBuffer(end);
  const bytes = new Uint8Array(buffer);
  const entries = new Uint32Array(buffer, 0, rows.length * 2);
  const statusesAt = rows.length * ENTRY_BYTES;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] ?? ROW.notFound;
    if (typeof row === 'number') {
      bytes[statusesAt + index] = row;
      continue;
    }
    entries[2 * index] = places.get(row) ?? 0;
    entries[2 * index + 1] = row.byteLength;
  }
  for (const [row, at] of places) bytes.set(row, at);
  return buffer;
}

/** The rows `first` to `first + count` of a packed buffer that has `total`. */
export class PackedRows {
  readonly count: number;
  /** The whole buffer: a record is at `offset(row)`, `length(row)` in it. */
  readonly bytes: Uint8Array;
  readonly #entries: Uint32Array;
  readonly #statuses: Uint8Array;

  constructor(buffer: ArrayBuffer, total: number, first = 0, count = total) {
    this.count = count;
    this.bytes = new Uint8Array(buffer);
    this.#entries = new Uint32Array(buffer, first * ENTRY_BYTES, count * 2);
    this.#statuses = new Uint8Array(buffer, total * ENTRY_BYTES + first, count);
  }

  status(row: number): RowStatus {
    return (this.#statuses[row] ?? ROW.notFound) as RowStatus;
  }

  offset(row: number): number {
    return this.#entries[2 * row] ?? 0;
  }

  length(row: number): number {
    return this.#entries[2 * row + 1] ?? 0;
  }

  /** The record's bytes where they lie; `undefined` when there is none. */
  record(row: number): Uint8Array | undefined {
    if (this.status(row) !== ROW.present) return undefined;
    const offset = this.offset(row);
    return this.bytes.subarray(offset, offset + this.length(row));
  }
}

function aligned(bytes: number): number {
  return (bytes + 7) & ~7;
}
