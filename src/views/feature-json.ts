/** One feature's JSON value into the draft's column of its type. Null leaves the feature null. */
import type { JsonReader } from '../base/json.js';
import type { JsonKind } from '../base/json-syntax.js';
import { skipValue } from '../base/json-value.js';
import type { ProblemList } from '../base/problem-list.js';
import type { RecordDraft } from './record-draft.js';
import type { Feature } from './schema.js';

const NAMED: Readonly<Record<JsonKind, string>> = {
  object: 'an object',
  array: 'an array',
  string: 'a string',
  number: 'a number',
  boolean: 'a boolean',
  null: 'null',
};

export class FeatureReader {
  readonly #reader: JsonReader;
  readonly #problems: ProblemList;

  constructor(reader: JsonReader, problems: ProblemList) {
    this.#reader = reader;
    this.#problems = problems;
  }

  /** Reads the value the reader stands before; a value of another type is skipped and noted. */
  read(draft: RecordDraft, feature: Feature): void {
    const kind = this.#reader.kind();
    switch (feature.kind) {
      case 'float32':
        if (kind === 'number') this.#readFloat32(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'float64':
        if (kind === 'number') this.#readFloat64(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'int64':
        if (kind === 'number') this.#readInt64(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'bool':
        if (kind === 'boolean') this.#readBool(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'string':
        if (kind === 'string') this.#readString(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'bytes':
        if (kind === 'string') this.#readBytes(draft, feature);
        else this.#otherwise(kind, feature);
        break;
      case 'embedding':
        if (kind === 'array') this.#readEmbedding(draft, feature);
        else this.#otherwise(kind, feature);
        break;
    }
  }

  #otherwise(kind: JsonKind, feature: Feature): void {
    if (kind === 'null') this.#reader.readNull();
    else this.wrongKind(feature.type, this.#reader.path());
  }

  /** Notes that the value is of another kind than wanted, and skips it. */
  wrongKind(wanted: string, at: string): void {
    this.#problems.add(at, `is ${NAMED[this.#reader.kind()]}; ${wanted} is wanted`);
    skipValue(this.#reader);
  }

  #readFloat32(draft: RecordDraft, feature: Feature): void {
    const start = this.#reader.at;
    const value = this.#reader.readFloat32();
    if (Number.isFinite(value)) {
      draft.float32s[feature.index] = value;
      draft.setPresent(feature.position);
    } else this.#badNumber(start, 'is beyond the range of float32');
  }

  #readFloat64(draft: RecordDraft, feature: Feature): void {
    const start = this.#reader.at;
    const value = this.#reader.readFloat64();
    if (Number.isFinite(value)) {
      draft.float64s[feature.index] = value;
      draft.setPresent(feature.position);
    } else this.#badNumber(start, 'is beyond the range of float64');
  }

  #readInt64(draft: RecordDraft, feature: Feature): void {
    const start = this.#reader.at;
    const value = this.#reader.readInteger();
    if (Number.isSafeInteger(value)) {
      draft.int64s[feature.index] = value;
      draft.setPresent(feature.position);
    } else if (Number.isNaN(value)) this.#badNumber(start, 'is not an integer; int64 is wanted');
    else this.#badNumber(start, 'is beyond ±(2^53 - 1), the range of int64 here');
  }

  #readBool(draft: RecordDraft, feature: Feature): void {
    draft.bools[feature.index] = this.#reader.readBoolean() ? 1 : 0;
    draft.setPresent(feature.position);
  }

  #readString(draft: RecordDraft, feature: Feature): void {
    draft.strings[feature.index] = this.#reader.readString();
    draft.setPresent(feature.position);
  }

  #readBytes(draft: RecordDraft, feature: Feature): void {
    const text = this.#reader.readString();
    const bytes = Buffer.from(text, 'base64');
    // Decoding is lenient; encoding is not: only the standard alphabet, padded, without stray bits, comes back.
    if (bytes.toString('base64') === text) {
      draft.bytes[feature.index] = bytes;
      draft.setPresent(feature.position);
    } else this.#problems.add(this.#reader.path(), 'is not base64 (standard alphabet, padded)');
  }

  #readEmbedding(draft: RecordDraft, feature: Feature): void {
    const reader = this.#reader;
    const { index, length } = feature;
    let count = 0;
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      if (reader.kind() === 'number') {
        const start = reader.at;
        const value = reader.readFloat32();
        if (!Number.isFinite(value)) this.#badNumber(start, 'is beyond the range of float32');
        else if (count < length) draft.embeddings[index + count] = value;
      } else this.wrongKind('a number', reader.path());
      count++;
    }
    if (count === length) draft.setPresent(feature.position);
    else this.#problems.add(reader.path(), `has ${count} numbers; ${feature.type} wants ${length}`);
  }

  #badNumber(start: number, detail: string): void {
    const { at } = this.#reader;
    const text = this.#reader.text(start, Math.min(at, start + 40));
    this.#problems.add(this.#reader.path(), `${text}${at > start + 40 ? '…' : ''} ${detail}`);
  }
}
