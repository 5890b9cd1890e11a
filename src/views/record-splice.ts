/**
 * A record with other bytes in the place of some that it holds, which may be more or fewer: what lies behind moves, and
 * the offsets of that, which stand before, with it. `record-layout.ts` draws where what lies.
 */
import { aligned } from './flat-parts.js';
import { wordAt } from './record-codec.js';
import { RECORD_CHECKSUM_BYTES, RECORD_TABLE_OFFSET, RecordField } from './record-layout.js';

/** Of a value of bytes within a record, counted from the record's first byte. */
export interface Span {
  readonly at: number;
  readonly length: number;
}

/** Fields of the table that lie behind all values of bytes. */
const BEHIND = [RecordField.tags, RecordField.metadata] as const;

/**
 * A copy with `parts`, one behind the other, instead of what lies there; its checksum is the caller's to set. `undefined`
 * when it is no record in the canonical layout.
 */
export function spliced(
  record: Uint8Array,
  { at, length }: Span,
  parts: readonly Uint8Array[],
): Uint8Array | undefined {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const restFrom = aligned(at + length, 4);
  const restTo = aligned(at + bytes, 4);
  const end = record.length - RECORD_CHECKSUM_BYTES;
  if (at < RECORD_TABLE_OFFSET || restFrom > end) return undefined;
  const made = new Uint8Array(restTo + end - restFrom + RECORD_CHECKSUM_BYTES);
  made.set(record.subarray(0, at));
  const view = new DataView(made.buffer);
  for (const field of BEHIND) {
    const slot = slotOf(record, field);
    if (slot === 0) continue;
    if (slot + 4 > at) return undefined;
    view.setUint32(slot, wordAt(record, slot) + restTo - restFrom, true);
  }
  view.setUint32(at - 4, bytes, true);
  let to = at;
  for (const part of parts) {
    made.set(part, to);
    to += part.length;
  }
  made.set(record.subarray(restFrom, end), restTo);
  return made;
}

/** Where the offset of a field of the table stands, 0 when it is absent. */
function slotOf(record: Uint8Array, field: number): number {
  const vtable = RECORD_TABLE_OFFSET - (wordAt(record, RECORD_TABLE_OFFSET) | 0);
  const entry = vtable + 4 + 2 * field;
  if (4 + 2 * field + 2 > uint16At(record, vtable)) return 0;
  const place = uint16At(record, entry);
  return place === 0 ? 0 : RECORD_TABLE_OFFSET + place;
}

/** What lies outside is 0. */
function uint16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}
