/** The bodies of `lookup`, `invalidate` and other requests for many records. Duplicate and unknown keys are errors, as is null for any of them. */
import { assert } from '../base/assert.js';
import { HeadraceError, type ProblemCode } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import type { JsonKind } from '../base/json-syntax.js';
import { failDuplicate, skipValue } from '../base/json-value.js';
import { idProblem } from '../base/keys.js';
import { ProblemList, shown } from '../base/problem-list.js';
import { INVALIDATION_LIMITS, type Invalidation } from '../views/fence.js';
import type { Feature, View } from '../views/schema.js';
import { VIEW_LIMITS } from '../views/schema.js';
import { ENTRY_BATCH_LIMITS } from './entry-batch.js';

export const REQUEST_LIMITS = {
  ...INVALIDATION_LIMITS,
  /** Names in a lookup, repeated ones counted. */
  features: VIEW_LIMITS.features,
} as const;

export interface Lookup {
  /** 1 to 10,000, as asked: in order, with duplicates. */
  readonly ids: readonly string[];
  /** As asked: in order, with duplicates; none for none, all of the view when the body does not say. */
  readonly features: readonly Feature[];
}

/** @throws HeadraceError `bad-json`, `too-many-ids`, or `invalid-lookup` that names all that is wrong. */
export function readLookup(body: Uint8Array, view: View): Lookup {
  const request = new RequestReader(body, 'invalid-lookup');
  let ids: readonly string[] | undefined;
  let features: readonly Feature[] = view.columns;
  request.readMembers(['ids', 'features'], key => {
    if (key === 'ids') ids = request.readIds();
    else features = request.readFeatures(view);
  });
  if (ids === undefined) request.problems.add('ids', 'is missing');
  request.problems.throwIfAny('invalid-lookup');
  assert(ids !== undefined, 'a lookup without ids has a problem');
  return { ids, features };
}

/** The keys of a batch of entries: as asked, in order, with duplicates. @throws HeadraceError as `readLookup`. */
export function readEntryBatch(body: Uint8Array): readonly string[] {
  const request = new RequestReader(body, 'invalid-lookup');
  let keys: readonly string[] | undefined;
  request.readMembers(['keys'], () => {
    keys = request.readIds(ENTRY_BATCH_LIMITS.keys);
  });
  if (keys === undefined) request.problems.add('keys', 'is missing');
  request.problems.throwIfAny('invalid-lookup');
  assert(keys !== undefined, 'a batch without keys has a problem');
  return keys;
}

/** @throws HeadraceError `bad-json`, `too-many-ids`, or `invalid-invalidation` that names all that is wrong. */
export function readInvalidation(body: Uint8Array): Invalidation {
  const request = new RequestReader(body, 'invalid-invalidation');
  const { prefixBytes, patternBytes, tags, tagBytes } = REQUEST_LIMITS;
  let found: Invalidation | undefined;
  let count = 0;
  request.readMembers(['ids', 'prefix', 'tags', 'pattern', 'all'], key => {
    count++;
    if (key === 'ids') found = { kind: 'ids', ids: request.readIds() };
    else if (key === 'prefix') found = { kind: 'prefix', prefix: request.readText(prefixBytes) };
    else if (key === 'tags') found = { kind: 'tags', tags: request.readTexts(tags, tagBytes) };
    else if (key === 'pattern') found = { kind: 'pattern', pattern: request.readText(patternBytes) };
    else {
      request.readTrue();
      found = { kind: 'all' };
    }
  });
  if (count !== 1)
    request.problems.add('the body', 'must have exactly one of ids, prefix, tags, pattern, all');
  request.problems.throwIfAny('invalid-invalidation');
  assert(found !== undefined, 'an invalidation of one key is one');
  return found;
}

/** `{"enabled":false}`. @throws HeadraceError `bad-json`, `bad-request` that names all that is wrong. */
export function readSwitch(body: Uint8Array): boolean {
  const request = new RequestReader(body, 'bad-request');
  let enabled: boolean | undefined;
  request.readMembers(['enabled'], () => {
    enabled = request.readBoolean();
  });
  if (enabled === undefined) request.problems.add('enabled', 'must be true or false');
  request.problems.throwIfAny('bad-request');
  return enabled === true;
}

/** Reads the members of a body, and collects what is wrong with them. */
export class RequestReader {
  readonly problems = new ProblemList();
  readonly #reader: JsonReader;
  readonly #code: ProblemCode;

  constructor(body: Uint8Array, code: ProblemCode) {
    this.#reader = new JsonReader().open(body).sliceStrings();
    this.#code = code;
  }

  /** For values of other kinds. */
  get reader(): JsonReader {
    return this.#reader;
  }

  /** Reads the body; `readMember` reads the value of each known key. */
  readMembers<K extends string>(names: readonly K[], readMember: (key: K) => void): void {
    const reader = this.#reader;
    const seen = new Set<string>();
    if (!this.#is('object', 'an object')) this.problems.throwIfAny(this.#code);
    for (let more = reader.beginObject(); more; more = reader.nextMember()) {
      const start = reader.at;
      const key = reader.readKey();
      if (seen.has(key)) failDuplicate(reader, key, start);
      seen.add(key);
      const name = names.find(known => known === key);
      if (name !== undefined) readMember(name);
      else {
        this.problems.add(reader.path(), `is not known here; ${names.join(', ')} are`);
        skipValue(reader);
      }
    }
    reader.finish();
  }

  readIds(idsMax: number = REQUEST_LIMITS.ids): string[] {
    return this.#readStrings(idProblem, idsMax, () => {
      throw new HeadraceError('too-many-ids', `more than ${idsMax} ids in one request; split it`);
    });
  }

  readTexts(countMax: number, bytesMax: number): string[] {
    const at = this.#reader.path();
    return this.#readStrings(
      text => textProblem(text, bytesMax),
      countMax,
      () => this.problems.add(at, `has more than ${countMax} entries`),
    );
  }

  readText(bytesMax: number): string {
    if (!this.#is('string', 'a string')) return '';
    const text = this.#reader.readString();
    this.#check(textProblem(text, bytesMax));
    return text;
  }

  readId(): string {
    if (!this.#is('string', 'a string')) return '';
    const id = this.#reader.readString();
    this.#check(idProblem(id));
    return id;
  }

  readInteger(min: number, max: number): number {
    if (!this.#is('number', 'an integer')) return min;
    const value = this.#reader.readInteger();
    const isAllowed = value >= min && value <= max;
    this.#check(isAllowed ? undefined : `must be an integer from ${min} to ${max}`);
    return value;
  }

  readOneOf<Word extends string>(words: readonly [Word, ...Word[]]): Word {
    const wanted = words.join(', ');
    const text = this.#is('string', `one of ${wanted}`) ? this.#reader.readString() : words[0];
    const word = words.find(known => known === text);
    if (word === undefined) this.#check(`is '${shown(text)}'; one of ${wanted} is wanted`);
    return word ?? words[0];
  }

  readBoolean(): boolean | undefined {
    return this.#is('boolean', 'true or false') ? this.#reader.readBoolean() : undefined;
  }

  readTrue(): void {
    if (this.#is('boolean', 'true')) this.#check(this.#reader.readBoolean() ? undefined : 'must be true');
  }

  /** The features of these names. */
  readFeatures(view: View): Feature[] {
    const reader = this.#reader;
    const features: Feature[] = [];
    if (!this.#is('array', 'an array of strings')) return features;
    let count = 0;
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      count++;
      if (!this.#is('string', 'a string')) continue;
      const name = reader.readString();
      const feature = view.byName.get(name);
      if (feature === undefined)
        this.#check(`${JSON.stringify(shown(name))} is not a feature of the view ${view.name}`);
      else if (features.length < REQUEST_LIMITS.features) features.push(feature);
    }
    if (count > REQUEST_LIMITS.features) {
      this.problems.add('features', `has ${count} names, ${REQUEST_LIMITS.features} are allowed`);
    }
    return features;
  }

  /** An array of 1 to `countMax` strings; `tooMany` is called once when there are more. */
  #readStrings(
    problemOf: (text: string) => string | undefined,
    countMax: number,
    tooMany: () => void,
  ): string[] {
    const reader = this.#reader;
    const strings: string[] = [];
    if (!this.#is('array', 'an array of strings')) return strings;
    let count = 0;
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      if (++count === countMax + 1) tooMany();
      if (!this.#is('string', 'a string')) continue;
      const text = reader.readString();
      const problem = problemOf(text);
      if (problem !== undefined) this.#check(problem);
      else if (count <= countMax) strings.push(text);
    }
    if (count === 0) this.#check('is empty');
    return strings;
  }

  /** Notes what is wrong, if anything, with what was read last. */
  #check(problem: string | undefined): void {
    if (problem !== undefined) this.problems.add(this.#reader.path(), problem);
  }

  /** Whether a value of this kind comes next; another is noted and skipped. */
  #is(kind: JsonKind, wanted: string): boolean {
    const found = this.#reader.kind();
    if (found === kind) return true;
    this.problems.add(this.#reader.path() || 'the body', `is of type ${found}; ${wanted} is wanted`);
    skipValue(this.#reader);
    return false;
  }
}

function textProblem(text: string, bytesMax: number): string | undefined {
  const bytes = Buffer.byteLength(text);
  return bytes >= 1 && bytes <= bytesMax ? undefined : `has ${bytes} bytes, 1 to ${bytesMax} are allowed`;
}
