/**
 * A line of a load into a cache of embeddings, `{"key":"a","vector":[0.1,…],"ttl":"1h","tags":["run:7"]}`, into the draft of
 * its entry. In a lane, on the hot path of loading; what is wrong is collected, so that one error names it all.
 */
import { parseDuration } from '../../base/duration.js';
import { JsonReader } from '../../base/json.js';
import type { JsonKind } from '../../base/json-syntax.js';
import { skipValue } from '../../base/json-value.js';
import { KeyTable } from '../../base/key-table.js';
import { idProblem } from '../../base/keys.js';
import { ProblemList } from '../../base/problem-list.js';
import type { RecordDraft } from '../../views/record-draft.js';
import { RECORD_LIMITS } from '../../views/record-json.js';
import { ENTRY_LIMITS, type EntryHead, fillEntry } from '../entry.js';
import { EMBEDDING_TYPE, type EmbeddingFormat, embeddingPayload } from './embedding.js';
import { readVector } from './vector-json.js';

/** What a lane is told of the cache that is loaded. */
export interface VectorLoad extends Pick<EntryHead, 'staleWhileRevalidateMs' | 'staleIfErrorMs'> {
  readonly embedding: EmbeddingFormat;
  readonly ttlMs: number;
  readonly tagsMax: number;
  /** Put before each key. */
  readonly prefix: string;
}

/** The member that names a line's entry. */
export const LINE_KEY = 'key';

const KEYS = [LINE_KEY, 'vector', 'ttl', 'tags'] as const;
const REQUIRED = [LINE_KEY, 'vector'] as const;

export class VectorLineReader {
  readonly #reader = new JsonReader();
  readonly #problems = new ProblemList();
  readonly #keys = new KeyTable(KEYS);
  readonly #load: VectorLoad;
  #id = '';
  #vector: Float32Array = new Float32Array(0);
  #ttlMs = 0;
  #tags: string[] = [];

  constructor(load: VectorLoad) {
    this.#load = load;
  }

  /**
   * Fills the draft, which must be of an entry, from the text between `start` and `end`; `line` is its number.
   * @throws HeadraceError `bad-json`, `invalid-vector` that names what is wrong.
   */
  read(draft: RecordDraft, bytes: Uint8Array, start: number, end: number, line: number): void {
    const { embedding, staleWhileRevalidateMs, staleIfErrorMs, ttlMs, prefix } = this.#load;
    const problems = this.#problems;
    const keys = this.#keys;
    problems.clear();
    this.#ttlMs = ttlMs;
    this.#tags = [];
    const reader = this.#reader.open(bytes, start, end, line);
    if (this.#is('object', 'an object')) {
      keys.begin();
      for (let more = reader.beginObject(); more; more = reader.nextMember())
        this.#readMember(keys.read(reader));
      for (const key of REQUIRED) if (!keys.has(KEYS.indexOf(key))) problems.add(key, 'is missing');
    }
    reader.finish();
    problems.throwIfAny('invalid-vector');
    draft.reset();
    const times = { freshMs: this.#ttlMs, staleWhileRevalidateMs, staleIfErrorMs };
    const head = { contentType: EMBEDDING_TYPE, tags: this.#tags, ...times };
    fillEntry(draft, head, embeddingPayload(embedding, this.#vector));
    draft.id = prefix + this.#id;
  }

  #readMember(place: number): void {
    const reader = this.#reader;
    const key = KEYS[place];
    if (key === LINE_KEY) this.#readKey();
    else if (key === 'vector')
      this.#vector = readVector(reader, this.#load.embedding.dimensions, this.#problems);
    else if (key === 'ttl') this.#readTtl();
    else if (key === 'tags') this.#readTags();
    else {
      this.#problems.add(reader.path(), `is not known here; ${KEYS.join(', ')} are`);
      skipValue(reader);
    }
  }

  #readKey(): void {
    if (!this.#is('string', 'a string')) return;
    this.#id = this.#reader.readString();
    this.#check(idProblem(this.#id) ?? idProblem(this.#load.prefix + this.#id));
  }

  #readTtl(): void {
    if (!this.#is('string', 'a string such as "1h"')) return;
    const ms = parseDuration(this.#reader.readString(), RECORD_LIMITS.ttlMsMin, RECORD_LIMITS.ttlMsMax);
    if (typeof ms === 'number') this.#ttlMs = ms;
    else this.#check(ms);
  }

  #readTags(): void {
    const reader = this.#reader;
    const { tagsMax } = this.#load;
    if (!this.#is('array', 'an array of strings')) return;
    let count = 0;
    for (let more = reader.beginArray(); more; more = reader.nextElement()) {
      count++;
      if (!this.#is('string', 'a string')) continue;
      const tag = reader.readString();
      const bytes = Buffer.byteLength(tag);
      if (bytes === 0 || bytes > ENTRY_LIMITS.tagBytes)
        this.#check(`has ${bytes} bytes, 1 to ${ENTRY_LIMITS.tagBytes} are allowed`);
      else if (count <= tagsMax && !this.#tags.includes(tag)) this.#tags.push(tag);
    }
    if (count > tagsMax) this.#check(`has ${count} tags, ${tagsMax} are allowed`);
  }

  #check(problem: string | undefined): void {
    if (problem !== undefined) this.#problems.add(this.#reader.path(), problem);
  }

  /** Whether a value of this kind comes next; another is noted and skipped. */
  #is(kind: JsonKind, wanted: string): boolean {
    const found = this.#reader.kind();
    if (found === kind) return true;
    this.#problems.add(this.#reader.path() || 'the line', `is of type ${found}; ${wanted} is wanted`);
    skipValue(this.#reader);
    return false;
  }
}
