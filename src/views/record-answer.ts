/**
 * One record as JSON: `{"view":"docs","id":"a","version":7,"features":{"rank":0.5,"title":null}}`.
 */
import { unreachable } from '../base/assert.js';
import type { JsonWriter } from './json-writer.js';
import type { RecordReader } from './record-reader.js';
import type { Feature } from './schema.js';
import type { Selection } from './selection.js';

const VERSION = Buffer.from(',"version":');
const FEATURES = Buffer.from(',"features":{');
const END = Buffer.from('}}');

/**
 * The record that the reader is set on, with the selected features; bytes as base64, embeddings as arrays, null where
 * the record has none. Valid until the writer's next `reset`.
 * @throws HeadraceError `too-many-ids` when it does not fit the writer.
 */
export function recordJson(
  writer: JsonWriter,
  selection: Selection,
  id: string,
  record: RecordReader,
): Uint8Array {
  writer.reset();
  writer.raw(selection.recordHead);
  writer.string(id);
  writer.raw(VERSION);
  writer.integer(record.version);
  writer.raw(FEATURES);
  const { features, recordNames } = selection;
  // Most features are float32: their column is found once, not once a feature.
  const float32s = record.column('float32');
  const float32sAt = record.at;
  const { data, hasNulls } = record;
  for (let place = 0; place < features.length; place++) {
    const feature = features[place];
    const name = recordNames[place];
    if (feature === undefined || name === undefined) break;
    writer.raw(name);
    const { kind, index, position } = feature;
    if (hasNulls && record.isNull(position)) writer.null();
    else if (kind === 'float32' && index < float32s) {
      writer.float32(data.getFloat32(float32sAt + 4 * index, true));
    } else if (!writeFeature(writer, feature, record)) writer.null();
  }
  writer.raw(END);
  return writer.finish();
}

/** False when the record's schema did not have the feature; nothing is written then. */
function writeFeature(writer: JsonWriter, { kind, index, length }: Feature, record: RecordReader): boolean {
  if (kind === 'string') {
    if (!record.locateString(index)) return false;
    writer.utf8(record.data, record.at, record.length);
    return true;
  }
  if (kind === 'bytes') {
    if (!record.locateBytes(index)) return false;
    writer.base64(record.data, record.at, record.length);
    return true;
  }
  if (index + length > record.column(kind)) return false;
  const { data, at } = record;
  switch (kind) {
    case 'float32':
      writer.float32(data.getFloat32(at + 4 * index, true));
      return true;
    case 'float64':
      writer.float64(data.getFloat64(at + 8 * index, true));
      return true;
    case 'int64':
      writer.integer(record.int64At(at + 8 * index));
      return true;
    case 'bool':
      writer.bool(data.getUint8(at + index) !== 0);
      return true;
    case 'embedding':
      writer.float32s(data, at + 4 * index, length);
      return true;
    default:
      return unreachable(kind);
  }
}
