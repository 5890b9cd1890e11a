/**
 * What a batch endpoint answers: `{"values":{"key":value,…},"errors":{"key":"why",…}}`, both optional, other members
 * ignored.
 *
 * A value is any JSON but null; it is kept as the text that the origin sent, byte for byte, so numbers lose nothing. Null says
 * that there is none. A key that was not asked for is passed over, one that is answered for twice has failed. Only a
 * text that is no JSON, or nested too deep, fails as a whole, for then no part of it can be told from another.
 */
import { HeadraceError } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import { shown } from '../base/problem-list.js';
import { TierRefusal } from '../base/tier.js';

/** A value, `null` for none, or why it failed. */
export type BatchItem = Uint8Array | null | TierRefusal;

const DEPTH_MAX = 64;

/** What was answered for the keys that `isAsked` knows. @throws TierRefusal for a text that is none of these. */
export function parseBatchReply(
  bytes: Uint8Array,
  isAsked: (key: string) => boolean,
): Map<string, BatchItem> {
  const items = new Map<string, BatchItem>();
  const add = (key: string, item: BatchItem) => {
    if (!isAsked(key)) return;
    items.set(key, items.has(key) ? new TierRefusal('the origin answered twice for the key') : item);
  };
  const reader = new JsonReader(DEPTH_MAX);
  try {
    reader.open(bytes);
    eachMember(reader, name => {
      if (name === 'values') eachMember(reader, key => add(key, readValue(reader, bytes)));
      else if (name === 'errors') eachMember(reader, key => add(key, readError(reader)));
      else skip(reader);
    });
    reader.finish();
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    throw new TierRefusal(`the origin's answer to a batch cannot be read: ${error.message}`);
  }
  return items;
}

function readValue(reader: JsonReader, bytes: Uint8Array): BatchItem {
  const isNull = reader.kind() === 'null';
  const from = reader.at;
  skip(reader);
  // A copy: one value kept must not keep the whole answer.
  return isNull ? null : new Uint8Array(bytes.subarray(from, reader.at));
}

function readError(reader: JsonReader): TierRefusal {
  if (reader.kind() === 'string') return new TierRefusal(`the origin failed: ${shown(reader.readString())}`);
  skip(reader);
  return new TierRefusal('the origin failed for the key');
}

/** The visitor consumes the member's value. */
function eachMember(reader: JsonReader, visit: (key: string) => void): void {
  for (let more = reader.beginObject(); more; more = reader.nextMember()) visit(reader.readKey());
}

/** Checks a value and makes nothing of it. */
function skip(reader: JsonReader): void {
  switch (reader.kind()) {
    case 'object':
      return eachMember(reader, () => skip(reader));
    case 'array':
      for (let more = reader.beginArray(); more; more = reader.nextElement()) skip(reader);
      return;
    case 'string':
      return reader.skipString();
    case 'number':
      return reader.skipNumber();
    case 'boolean':
      reader.readBoolean();
      return;
    case 'null':
      return reader.readNull();
  }
}
