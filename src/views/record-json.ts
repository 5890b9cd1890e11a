/**
 * A record's JSON into a `RecordDraft`, in one pass over the bytes: the hot path of loading.
 *
 * Two forms. Nested: `{"id":…,"features":{…},"version":7,"ttl":"1h","tags":[…],"metadata":{…}}`, where any other key is
 * an error. Flat: every key that is a feature of the view is one, `id` is the id, whatever else there is is ignored.
 *
 * A text that is no JSON, or has a key twice, fails at once and says where. What is JSON but does not fit the view is
 * collected, so that one answer names it all. After an error the draft is empty.
 */
import { assert } from '../base/assert.js';
import { VERSION_MAX, type Version } from '../base/clock.js';
import { DURATION_MS_MAX, parseDuration } from '../base/duration.js';
import { JsonReader } from '../base/json.js';
import type { JsonKind } from '../base/json-syntax.js';
import { skipValue } from '../base/json-value.js';
import { KeyTable } from '../base/key-table.js';
import { idProblem } from '../base/keys.js';
import { ProblemList } from '../base/problem-list.js';
import { FeatureReader } from './feature-json.js';
import type { RecordDraft } from './record-draft.js';
import type { View } from './schema.js';

export const RECORD_LIMITS = {
  tags: 64,
  tagBytes: 256,
  metadataBytes: 65_536,
  ttlMsMin: 1,
  ttlMsMax: DURATION_MS_MAX,
} as const;

export type RecordForm = 'nested' | 'flat';
/** `path`: the id stands in the request's path, and the text must not have one. */
export type IdFrom = 'body' | 'path';

const TOP_KEYS = ['id', 'features', 'version', 'ttl', 'tags', 'metadata'] as const;
const ID = TOP_KEYS.indexOf('id');
const FEATURES = TOP_KEYS.indexOf('features');

export class RecordJsonReader {
  readonly #view: View;
  readonly #form: RecordForm;
  readonly #reader = new JsonReader();
  readonly #problems = new ProblemList();
  readonly #features: FeatureReader;
  readonly #topKeys = new KeyTable(TOP_KEYS);
  /** Places are the features' positions; the flat form's id is a feature's place or the one behind them. */
  readonly #featureKeys: KeyTable;
  readonly #flatId: number;

  constructor(view: View, form: RecordForm = 'nested') {
    this.#view = view;
    this.#form = form;
    this.#features = new FeatureReader(this.#reader, this.#problems);
    const names = view.columns.map(feature => feature.name);
    // A feature named id cannot be given in the flat form: there, that key is the record's id.
    if (form === 'flat' && !names.includes('id')) names.push('id');
    this.#flatId = names.indexOf('id');
    this.#featureKeys = new KeyTable(names);
  }

  /**
   * Fills the draft, which must be of this reader's view, from the text between `start` and `end`. With the id from
   * the path, `draft.id` is left empty for the caller to set. `line` is the text's line within the body.
   * @throws HeadraceError `bad-json`, or `invalid-record` with up to 100 errors.
   */
  read(draft: RecordDraft, bytes: Uint8Array, start: number, end: number, idFrom: IdFrom, line = 1): void {
    assert(draft.view === this.#view, 'draft and reader are of one view');
    draft.reset();
    this.#problems.clear();
    try {
      const reader = this.#reader.open(bytes, start, end, line);
      if (this.#is('object', 'an object')) {
        if (this.#form === 'flat') this.#readFlat(draft, idFrom);
        else this.#readNested(draft, idFrom);
      }
      reader.finish();
      this.#problems.throwIfAny('invalid-record');
    } catch (error) {
      draft.reset();
      throw error;
    }
  }

  #readNested(draft: RecordDraft, idFrom: IdFrom): void {
    const reader = this.#reader;
    const keys = this.#topKeys;
    keys.begin();
    for (let more = reader.beginObject(); more; more = reader.nextMember()) {
      const place = keys.read(reader);
      if (place === FEATURES) this.#readFeatures(draft);
      else if (place === ID) this.#readId(draft, idFrom);
      else if (place === -1) this.#reject(`is not a part of a record; those are ${TOP_KEYS.join(', ')}`);
      else this.#readOptional(draft, place);
    }
    if (idFrom === 'body' && !keys.has(ID)) this.#problems.add('id', 'is missing');
    if (!keys.has(FEATURES)) this.#problems.add('features', 'is missing');
  }

  #readFlat(draft: RecordDraft, idFrom: IdFrom): void {
    const reader = this.#reader;
    const { columns } = this.#view;
    const keys = this.#featureKeys;
    keys.begin();
    for (let more = reader.beginObject(); more; more = reader.nextMember()) {
      const place = keys.read(reader);
      const feature = columns[place];
      if (place === this.#flatId) this.#readId(draft, idFrom);
      else if (feature !== undefined) this.#features.read(draft, feature);
      else skipValue(reader);
    }
    if (idFrom === 'body' && !keys.has(this.#flatId)) this.#problems.add('id', 'is missing');
  }

  #readFeatures(draft: RecordDraft): void {
    const reader = this.#reader;
    const { columns, name } = this.#view;
    const keys = this.#featureKeys;
    if (!this.#is('object', 'an object')) return;
    keys.begin();
    for (let more = reader.beginObject(); more; more = reader.nextMember()) {
      const feature = columns[keys.read(reader)];
      if (feature !== undefined) this.#features.read(draft, feature);
      else this.#reject(`is not a feature of the view ${name}`);
    }
  }

  #readId(draft: RecordDraft, idFrom: IdFrom): void {
    if (idFrom === 'path') this.#reject('is given by the path; leave it out of the body');
    else if (this.#is('string', 'a string')) {
      draft.id = this.#reader.readString();
      const problem = idProblem(draft.id);
      if (problem !== undefined) this.#problems.add('id', problem);
    }
  }

  /** Everything but id and features. Null is the same as absent. */
  #readOptional(draft: RecordDraft, place: number): void {
    const key = TOP_KEYS[place];
    if (this.#reader.kind() === 'null') this.#reader.readNull();
    else if (key === 'version') this.#readVersion(draft);
    else if (key === 'ttl') this.#readTtl(draft);
    else if (key === 'tags') this.#readTags(draft);
    else this.#readMetadata(draft);
  }

  /** From 1: a version of 0 is older than everything and could never be told from none. */
  #readVersion(draft: RecordDraft): void {
    if (!this.#is('number', 'an integer')) return;
    const version = this.#reader.readInteger();
    if (version >= 1 && version <= VERSION_MAX) draft.version = version as Version;
    else this.#problems.add('version', 'must be an integer from 1 to 2^53 - 2');
  }

  #readTtl(draft: RecordDraft): void {
    if (!this.#is('string', 'a string such as "1h"')) return;
    const ms = parseDuration(this.#reader.readString(), RECORD_LIMITS.ttlMsMin, RECORD_LIMITS.ttlMsMax);
    if (typeof ms === 'number') draft.ttlMs = ms;
    else this.#problems.add('ttl', ms);
  }

  #readTags(draft: RecordDraft): void {
    const reader = this.#reader;
    if (!this.#is('array', 'an array of strings')) return;
    let count = 0;
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      count++;
      if (this.#is('string', 'a string')) this.#addTag(draft, reader.readString());
    }
    if (count > RECORD_LIMITS.tags) {
      this.#problems.add('tags', `has ${count} tags, ${RECORD_LIMITS.tags} are allowed`);
    }
  }

  #addTag(draft: RecordDraft, tag: string): void {
    const { tags } = draft;
    const bytes = Buffer.byteLength(tag);
    if (bytes === 0 || bytes > RECORD_LIMITS.tagBytes) {
      const detail = `has ${bytes} bytes, 1 to ${RECORD_LIMITS.tagBytes} are allowed`;
      this.#problems.add(this.#reader.path(), detail);
    } else if (tags.length < RECORD_LIMITS.tags && !tags.includes(tag)) tags.push(tag);
  }

  #readMetadata(draft: RecordDraft): void {
    const reader = this.#reader;
    if (!this.#is('object', 'an object')) return;
    const start = reader.at;
    skipValue(reader);
    const bytes = reader.at - start;
    if (bytes <= RECORD_LIMITS.metadataBytes) draft.metadata = reader.text(start, reader.at);
    else this.#problems.add('metadata', `has ${bytes} bytes, ${RECORD_LIMITS.metadataBytes} are allowed`);
  }

  /** Whether a value of this kind comes next; another is noted and skipped. */
  #is(kind: JsonKind, wanted: string): boolean {
    if (this.#reader.kind() === kind) return true;
    this.#features.wrongKind(wanted, this.#reader.path() || 'the record');
    return false;
  }

  #reject(detail: string): void {
    this.#problems.add(this.#reader.path(), detail);
    skipValue(this.#reader);
  }
}
