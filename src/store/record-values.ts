/** The features of a record as values, copied out of it. */
import type { RecordReader } from '../views/record-reader.js';
import type { Feature } from '../views/schema.js';

/** Null where the record has none. */
export function featureValue(record: RecordReader, feature: Feature): unknown {
  const { kind, index, position, length } = feature;
  if (record.hasNulls && record.isNull(position)) return null;
  switch (kind) {
    case 'string':
      return record.string(index);
    case 'bytes':
      return record.bytes(index)?.slice() ?? null;
    case 'embedding': {
      const numbers = new Float32Array(length);
      return record.embedding(index, length, numbers) ? numbers : null;
    }
    case 'bool':
      return index < record.column('bool') ? record.data.getUint8(record.at + index) !== 0 : null;
    case 'float32':
      return record.float32(index);
    case 'float64':
      return record.float64(index);
    case 'int64':
      return record.int64(index);
  }
}
