/** The open fences of a view, ready to be asked of records: on the way of every read as long as there are any. */
import { ID_BYTES_MAX } from '../base/keys.js';
import { Pattern } from '../base/pattern.js';
import { type Fence, newestFence } from './fence.js';
import { wordAt } from './record-codec.js';
import { RECORD_BYTES_MIN, RECORD_SCHEMA_OFFSET } from './record-layout.js';
import { RecordReader } from './record-reader.js';

interface OfKeys {
  readonly schema: number;
  readonly covers: (key: Uint8Array, start: number, end: number) => boolean;
}

const made = new WeakMap<readonly Fence[], FenceSet>();
/** For ids that are no bytes yet. */
const idBytes = Buffer.alloc(ID_BYTES_MAX);

/** `undefined` without fences. Made once for a list. */
export function fenceSetOf({ fences }: { readonly fences: readonly Fence[] }): FenceSet | undefined {
  if (fences.length === 0) return undefined;
  const known = made.get(fences);
  if (known !== undefined) return known;
  const set = new FenceSet(fences);
  made.set(fences, set);
  return set;
}

export class FenceSet {
  /** No record with this number, or a larger one, is hidden. */
  readonly newest: number;
  readonly #all: number;
  readonly #ofKeys: readonly OfKeys[];
  /** The newest fence of each tag. */
  readonly #ofTags: ReadonlyMap<string, number>;
  readonly #newestOfTags: number;
  readonly #record = new RecordReader();

  constructor(fences: readonly Fence[]) {
    this.newest = newestFence(fences);
    this.#all = newestFence(fences.filter(({ kind }) => kind === 'all'));
    this.#ofKeys = fences.flatMap(fence => ofKeys(fence));
    this.#newestOfTags = newestFence(fences.filter(({ kind }) => kind === 'tag'));
    this.#ofTags = new Map(
      fences.flatMap(({ kind, text, schema }) => (kind === 'tag' ? [[text, schema] as const] : [])),
    );
  }

  /** Whether the record is hidden that lies in `bytes[start, end)`, and its id in `key[keyStart, keyEnd)`. */
  hides(
    bytes: Uint8Array,
    start: number,
    end: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): boolean {
    // That something was deleted is no secret.
    if (end - start <= RECORD_BYTES_MIN) return false;
    const schema = wordAt(bytes, start + RECORD_SCHEMA_OFFSET);
    if (schema >= this.newest) return false;
    if (schema < this.#all) return true;
    for (const fence of this.#ofKeys)
      if (schema < fence.schema && fence.covers(key, keyStart, keyEnd)) return true;
    return this.#ofTags.size > 0 && this.#isTagged(bytes, start, end, schema);
  }

  /** The same of an id that is text. */
  hidesId(bytes: Uint8Array, start: number, end: number, id: string): boolean {
    const length = this.#ofKeys.length === 0 ? 0 : idBytes.write(id);
    return this.hides(bytes, start, end, idBytes, 0, length);
  }

  /** Whether a record of this id may be hidden: where tags do not matter, its key says so. */
  mayHide(key: Uint8Array, start: number, end: number): boolean {
    if (this.#all > 0 || this.#ofTags.size > 0) return true;
    return this.#ofKeys.some(({ covers }) => covers(key, start, end));
  }

  /** Whether the record is older than the fence of some tag: what is made in its place by then may have that tag. */
  isBeforeTags(record: Uint8Array): boolean {
    if (record.length <= RECORD_BYTES_MIN) return false;
    return wordAt(record, RECORD_SCHEMA_OFFSET) < this.#newestOfTags;
  }

  #isTagged(bytes: Uint8Array, start: number, end: number, schema: number): boolean {
    this.#record.reset(bytes, start, end - start);
    // Nothing but a lease on what is to be made: any tag may be meant.
    if (this.#record.freshUntil === 0) return schema < this.#newestOfTags;
    for (const tag of this.#record.tags()) if (schema < (this.#ofTags.get(tag) ?? 0)) return true;
    return false;
  }
}

function ofKeys({ kind, text, schema }: Fence): OfKeys[] {
  if (kind === 'prefix') {
    const prefix: Uint8Array = Buffer.from(text);
    const { length } = prefix;
    // Most keys differ in the first bytes: `Buffer.compare` is a call into the engine, six times as slow there.
    const covers: OfKeys['covers'] = (key, start, end) => {
      if (length > end - start) return false;
      for (let at = 0; at < length; at++) if (prefix[at] !== key[start + at]) return false;
      return true;
    };
    return [{ schema, covers }];
  }
  if (kind !== 'pattern') return [];
  const pattern = new Pattern(text);
  return [{ schema, covers: (key, start, end) => pattern.matches(key, start, end) }];
}
