/**
 * A gathered lookup as JSON: `{"view":…,"features":[…],"ids":[…],"statuses":[…],"versions":[…],"columns":[[…],…]}`,
 * each column as long as `ids`, null where the row has no record or the record no such feature.
 */
import { unreachable } from '../base/assert.js';
import type { JsonWriter } from '../views/json-writer.js';
import type { Feature } from '../views/schema.js';
import { type LookupAnswer, RowStatus } from './lookup-answer-columns.js';

const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;

const STATUSES = Buffer.from('],"statuses":[');
const VERSIONS = Buffer.from('],"versions":[');
const COLUMNS = Buffer.from('],"columns":[');
const END = Buffer.from(']}');
const STATUS_NAMES: Readonly<Record<number, Uint8Array>> = {
  [RowStatus.present]: Buffer.from('"PRESENT"'),
  [RowStatus.notFound]: Buffer.from('"NOT_FOUND"'),
  [RowStatus.unavailable]: Buffer.from('"UNAVAILABLE"'),
};

/**
 * Prints the answer; rows that nobody reported become unavailable. Valid until the writer's next `reset`.
 * @throws HeadraceError `too-many-ids` when the text passes the writer's limit.
 */
export function lookupJson(writer: JsonWriter, answer: LookupAnswer): Uint8Array {
  answer.settle();
  const { ids, data, statusesAt, versionsAt, selection } = answer;
  writer.reset();
  writer.raw(selection.lookupHead);
  for (let row = 0; row < ids.length; row++) {
    if (row > 0) writer.byte(COMMA);
    writer.string(ids[row] ?? '');
  }
  writer.raw(STATUSES);
  for (let row = 0; row < ids.length; row++) {
    if (row > 0) writer.byte(COMMA);
    writer.raw(STATUS_NAMES[data.getUint8(statusesAt + row)] ?? UNKNOWN);
  }
  writer.raw(VERSIONS);
  for (let row = 0; row < ids.length; row++) {
    if (row > 0) writer.byte(COMMA);
    if (data.getUint8(statusesAt + row) === RowStatus.present)
      writer.integer(int64At(data, versionsAt + 8 * row));
    else writer.null();
  }
  writer.raw(COLUMNS);
  selection.features.forEach((feature, column) => {
    if (column > 0) writer.byte(COMMA);
    writer.byte(OPEN);
    if (feature.kind === 'float32') writeFloat32s(writer, answer, column);
    else writeColumn(writer, answer, feature, column);
    writer.byte(CLOSE);
  });
  writer.raw(END);
  return writer.finish();
}

const UNKNOWN = Buffer.from('null');

/** The usual column, in a loop of its own. */
function writeFloat32s(writer: JsonWriter, answer: LookupAnswer, column: number): void {
  const { float32s } = answer;
  const rows = answer.ids.length;
  const start = (answer.columnsAt[column] ?? 0) >> 2;
  const someNull = (answer.nullCounts[column] ?? 0) > 0;
  for (let row = 0; row < rows; row++) {
    if (row > 0) writer.byte(COMMA);
    if (someNull && answer.isNull(column, row)) writer.null();
    else writer.float32(float32s[start + row] ?? 0);
  }
}

function writeColumn(writer: JsonWriter, answer: LookupAnswer, feature: Feature, column: number): void {
  const start = answer.columnsAt[column] ?? 0;
  for (let row = 0; row < answer.ids.length; row++) {
    if (row > 0) writer.byte(COMMA);
    if (answer.isNull(column, row)) writer.null();
    else writeCell(writer, answer.data, feature, start, row);
  }
}

function writeCell(writer: JsonWriter, data: DataView, feature: Feature, start: number, row: number): void {
  const { kind, length } = feature;
  switch (kind) {
    case 'bool':
      writer.bool(data.getUint8(start + row) !== 0);
      break;
    case 'int64':
      writer.integer(int64At(data, start + 8 * row));
      break;
    case 'float32':
      writer.float32(data.getFloat32(start + 4 * row, true));
      break;
    case 'float64':
      writer.float64(data.getFloat64(start + 8 * row, true));
      break;
    case 'embedding':
      writer.float32s(data, start + 4 * length * row, length);
      break;
    case 'string': {
      const at = pointedAt(data, start + 4 * row);
      writer.utf8(data, at + 4, data.getUint32(at, true));
      break;
    }
    case 'bytes': {
      // The blob's vector lies right behind its table of two words.
      const at = pointedAt(data, start + 4 * row) + 8;
      writer.base64(data, at + 4, data.getUint32(at, true));
      break;
    }
    default:
      unreachable(kind);
  }
}

function pointedAt(data: DataView, slot: number): number {
  return slot + data.getUint32(slot, true);
}

function int64At(data: DataView, at: number): number {
  return data.getUint32(at, true) + 4294967296 * data.getInt32(at + 4, true);
}
