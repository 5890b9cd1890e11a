/**
 * Clients of several servers that write, delete and read the same few keys at once, on a seeded schedule, and enter into
 * a history when each operation began, when it ended, and what came of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { HybridClock, systemClock, VERSIONS_PER_MS, type Version } from '../../src/base/clock.js';
import { Seeded } from '../base/seeded.js';
import { type Answer, ApiClient, recordPath } from '../server/api-client.js';
import { CHECKED_VIEW, type Features, featuresOf } from '../server/ledger.js';
import type { HistoryEvent, WriteEvent } from './history.js';

const VIEW = 'history';
const VIEW_TTL_MS = 3_600_000;
/** Of most records that have a time of their own, one operation and more. */
const TTLS_MS = [40, 150, 600, 3_000];
const LOOKUP_IDS = 12;
/** A version that a client gives is of a moment so far from now. */
const VERSION_OFFSET_MS = 40;
/** What may be answered while a server is hurt; of a write it is then not known whether it was applied. */
const HURT = new Set([503, 504]);

export interface WorkloadOptions {
  readonly ports: readonly number[];
  readonly seed: number;
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** Each key is written on one server only, read on all. */
  readonly oneWriterPerKey?: boolean;
}

interface LookupBody {
  readonly features: readonly string[];
  readonly statuses: readonly string[];
  readonly versions: readonly (number | null)[];
  readonly columns: readonly (readonly unknown[])[];
}

interface RecordBody {
  readonly version: number;
  readonly features: Features;
}

export class Workload {
  readonly history: HistoryEvent[] = [];
  /** Answers that no server may give, hurt or not. */
  readonly wrong: string[] = [];
  /** Operations by what came of them. */
  /** By server: what the last lookups, or those of `readAll`, could not have. */
  unread: string[] = [];
  readonly outcomes = new Map<string, number>();
  readonly #options: WorkloadOptions;
  readonly #apis: readonly ApiClient[];
  readonly #versions = new HybridClock(systemClock);
  readonly #given = new Set<number>();
  #numbers = 0;
  #left = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#apis = options.ports.map(port => new ApiClient(port));
  }

  /** Declares the view. @throws Error when a server does not take it. */
  async declare(): Promise<void> {
    const answer = await this.#api(0).put(`/v1/views/${VIEW}`, CHECKED_VIEW_OF_AN_HOUR);
    if (answer.status !== 201) throw new Error(answer.text);
  }

  async isDeclaredOnAll(): Promise<boolean> {
    const answers = await Promise.all(this.#apis.map(api => api.get(`/v1/views/${VIEW}`)));
    return answers.every(({ status }) => status === 200);
  }

  /** All operations, by all clients at once. */
  async run(): Promise<void> {
    const { clients, operations, seed } = this.#options;
    this.#left = operations;
    await Promise.all(
      Array.from({ length: clients }, (_, client) => this.#client(new Seeded(seed * 1000 + client))),
    );
  }

  /** Reads every key on every server; false when one could not be read. */
  async readAll(): Promise<boolean> {
    this.unread = [];
    for (let server = 0; server < this.#apis.length; server++) {
      const keys = Array.from({ length: this.#options.keys }, (_, at) => keyAt(at));
      await this.#lookup(server, keys);
    }
    return this.unread.length === 0;
  }

  close(): void {
    for (const api of this.#apis) api.close();
  }

  async #client(random: Seeded): Promise<void> {
    const { keys } = this.#options;
    while (this.#left-- > 0) {
      const at = random.below(keys);
      const dice = random.below(100);
      const anyServer = random.below(this.#apis.length);
      const writer = this.#options.oneWriterPerKey === true ? at % this.#apis.length : anyServer;
      if (dice < 18) await this.#put(writer, keyAt(at), random, this.#someVersion(random));
      else if (dice < 36) await this.#put(writer, keyAt(at), random, undefined);
      else if (dice < 45) await this.#delete(writer, keyAt(at));
      else if (dice < 75) await this.#get(anyServer, keyAt(at));
      else {
        const ids = Array.from({ length: LOOKUP_IDS }, () => keyAt(random.below(keys)));
        await this.#lookup(anyServer, [...new Set(ids)]);
      }
    }
  }

  /** About now, not given before. */
  #someVersion(random: Seeded): number {
    for (;;) {
      const offset =
        random.below(2 * VERSION_OFFSET_MS * VERSIONS_PER_MS) - VERSION_OFFSET_MS * VERSIONS_PER_MS;
      const version = (this.#versions.next() as Version) + offset;
      if (this.#given.has(version)) continue;
      this.#given.add(version);
      return version;
    }
  }

  async #put(server: number, key: string, random: Seeded, version: number | undefined): Promise<void> {
    const n = ++this.#numbers;
    const ttlMs = random.below(3) === 0 ? random.pick(TTLS_MS) : VIEW_TTL_MS;
    const body = {
      features: featuresOf(key, n),
      ...(version === undefined ? {} : { version }),
      ...(ttlMs === VIEW_TTL_MS ? {} : { ttl: `${ttlMs}ms` }),
    };
    const beginMs = now();
    const answer = await this.#api(server).put(recordPath(VIEW, key), body).catch(noAnswer);
    const endMs = now();
    const written: WriteEvent = {
      ...{ kind: 'write', server, key, n, ttlMs, beginMs, endMs },
      ...{ outcome: 'unknown', version },
    };
    if (answer?.status === 200) {
      const told = answer.json() as { version: number; applied: boolean };
      const outcome = told.applied ? 'applied' : 'refused';
      this.history.push({ ...written, outcome, version: told.applied ? told.version : version });
      if (version === undefined && !told.applied)
        this.wrong.push(`${key}: the server's own version was refused`);
      this.#count(`put ${outcome}`);
    } else {
      this.history.push(written);
      this.#hurt('put', answer);
    }
  }

  async #delete(server: number, key: string): Promise<void> {
    const beginMs = now();
    const answer = await this.#api(server).delete(recordPath(VIEW, key)).catch(noAnswer);
    const outcome = answer?.status === 204 ? 'applied' : 'unknown';
    this.history.push({ kind: 'delete', server, key, outcome, beginMs, endMs: now() });
    if (outcome === 'applied') this.#count('delete applied');
    else this.#hurt('delete', answer);
  }

  async #get(server: number, key: string): Promise<void> {
    const beginMs = now();
    const answer = await this.#api(server).get(recordPath(VIEW, key)).catch(noAnswer);
    if (answer?.status === 200) this.#note(server, key, beginMs, answer.json() as RecordBody);
    else if (answer?.status === 404) this.#note(server, key, beginMs, undefined);
    else this.#hurt('get', answer);
  }

  async #lookup(server: number, ids: readonly string[]): Promise<void> {
    const beginMs = now();
    const answer = await this.#api(server).post(`/v1/views/${VIEW}/lookup`, { ids }).catch(noAnswer);
    if (answer?.status !== 200) {
      this.#count('unavailable');
      this.unread.push(`${server}: ${answer?.text ?? 'no answer'}`);
      this.#hurt('lookup', answer);
      return;
    }
    const { features: names, statuses, versions, columns } = answer.json() as LookupBody;
    for (const [row, key] of ids.entries()) {
      if (statuses[row] === 'UNAVAILABLE') {
        this.#count('unavailable');
        this.unread.push(`${server}: ${key}`);
        continue;
      }
      const features = Object.fromEntries(names.map((name, at) => [name, columns[at]?.[row]]));
      const version = versions[row];
      this.#note(
        server,
        key,
        beginMs,
        statuses[row] === 'PRESENT' ? { version: version ?? 0, features } : undefined,
      );
    }
  }

  #note(server: number, key: string, beginMs: number, record: RecordBody | undefined): void {
    const n = Number(record?.features['n']);
    const found = record && {
      n,
      version: record.version,
      isWhole: isDeepStrictEqual(record.features, featuresOf(key, n)),
    };
    this.history.push({ kind: 'read', server, key, found, beginMs, endMs: now() });
    this.#count(found === undefined ? 'absent' : 'found');
  }

  #hurt(what: string, answer: Answer | undefined): void {
    this.#count(`${what} ${answer?.status ?? 'cut off'}`);
    if (answer !== undefined && HURT.has(answer.status)) return;
    this.wrong.push(`${what}: ${answer === undefined ? 'no answer' : `${answer.status} ${answer.text}`}`);
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }

  #api(server: number): ApiClient {
    const api = this.#apis[server];
    if (api === undefined) throw new Error(`there is no server ${server}`);
    return api;
  }
}

const CHECKED_VIEW_OF_AN_HOUR = { ...CHECKED_VIEW, ttl: '1h' };

function keyAt(at: number): string {
  return `k${at}`;
}

function noAnswer(): undefined {
  return undefined;
}

/** Finer than a millisecond, so that what came after another is not taken for simultaneous. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
