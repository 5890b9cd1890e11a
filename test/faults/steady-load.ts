/**
 * A steady mixed load on a server that is being hurt, and what it is answered, phase by phase:
 *
 *   hot     reads of keys that are in shared memory
 *   other   reads of keys whose copy in shared memory is dropped first
 *   write   writes, each followed by a read of what was acknowledged
 *
 * Every value follows from its id and a number in it, so a wrong one is known. What the server may answer while it is
 * hurt is a correct value or that it has none to give now (503, 504, 507, the row UNAVAILABLE), within the limit; anything
 * else is a fault. An id has one writer, so a value older than the last acknowledged one is a fault as well.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { SEED, Seeded } from '../base/seeded.js';
import { type Answer, type ApiClient, recordPath } from '../server/api-client.js';

const VIEW = 'docs';
const FEATURES = ['n', 'text'];
/** Between two requests of a client. */
const PAUSE_MS = 8;
const CLIENTS_PER_KIND = 2;
const IDS_PER_LOOKUP = 4;
const HONEST = new Set([503, 504, 507]);

export type Kind = 'hot' | 'other' | 'write';
const KINDS: readonly Kind[] = ['hot', 'other', 'write'];

export interface LoadOptions {
  readonly api: ApiClient;
  /** An answer that takes longer is late: the deadline and what a busy machine may add. */
  readonly limitMs: number;
  /** How many of each kind. */
  readonly ids: Readonly<Record<Kind, number>>;
  /** The store of record may forget: a record that is gone is no fault. */
  readonly mayLose?: boolean;
  /** It may go back to a value before the last that it acknowledged, which is counted. */
  readonly mayRegress?: boolean;
  /** Its answers are changed on the way, unnoticed: a write may be said not to be applied, though it was the newest. */
  readonly mayMislead?: boolean;
}

/** What requests of one kind were answered in one phase. */
export class Tally {
  ok = 0;
  unavailable = 0;
  /** Gone, where the store may forget. */
  lost = 0;
  fromL1 = 0;
  /** Ids of the single reads that were answered from below L1. */
  readonly fromBelow: string[] = [];
  readonly latenciesMs: number[] = [];

  /** Of the requests that were answered with a value. */
  p95Ms(): number {
    const sorted = this.latenciesMs.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length * 0.95)] ?? 0;
  }
}

interface Row {
  readonly id: string;
  readonly status: 'FOUND' | 'NOT_FOUND' | 'UNAVAILABLE';
  readonly features?: Readonly<Record<string, unknown>>;
}

export class SteadyLoad {
  readonly faults: string[] = [];
  readonly late: string[] = [];
  /** Values that were taken back, where that is allowed. */
  regressed = 0;
  readonly #options: LoadOptions;
  readonly #ids: Readonly<Record<Kind, readonly string[]>>;
  readonly #random = new Seeded(SEED);
  readonly #phases = new Map<string, Record<Kind, Tally>>();
  /** By id: the last number that was acknowledged, and the last that was sent. */
  readonly #acknowledged = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  /** Good answers since the last that was none. */
  readonly #inARow: Record<Kind, number> = { hot: 0, other: 0, write: 0 };
  #phase = 'calm';
  #isRunning = true;
  #clients: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
    const named = (kind: Kind) => Array.from({ length: options.ids[kind] }, (_, n) => `${kind}-${n}`);
    this.#ids = { hot: named('hot'), other: named('other'), write: named('write') };
  }

  get #all(): string[] {
    return KINDS.flatMap(kind => this.#ids[kind]);
  }

  /** Declares the view and writes every record once; again, when the store has lost them. */
  async prepare(): Promise<void> {
    const { api } = this.#options;
    const view = { entity: 'doc', ttl: '1h', features: { n: 'int64', text: 'string' } };
    await expectStatus(api.put(`/v1/views/${VIEW}`, view), 200, 201);
    const lines = this.#all.map(id => JSON.stringify({ id, features: featuresOf(id, 1) }));
    const loaded = await expectStatus(api.load(VIEW, lines.join('\n')), 200);
    if ((loaded.json() as { applied: number }).applied !== lines.length) throw new Error(loaded.text);
    for (const id of this.#all) {
      this.#sent.set(id, Math.max(1, this.#sent.get(id) ?? 0));
      this.#acknowledged.set(id, 1);
    }
  }

  /** Whether the view is known no more. */
  async isForgotten(): Promise<boolean> {
    return (await this.#options.api.get(`/v1/views/${VIEW}`)).status === 404;
  }

  begin(): void {
    this.#isRunning = true;
    this.#clients = KINDS.flatMap(kind =>
      Array.from({ length: CLIENTS_PER_KIND }, (_, client) => this.#run(kind, client)),
    );
  }

  /** Requests from now on count for the phase. */
  enter(phase: string): void {
    this.#phase = phase;
    for (const kind of KINDS) this.#inARow[kind] = 0;
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#clients);
  }

  tally(phase: string, kind: Kind): Tally {
    let tallies = this.#phases.get(phase);
    if (tallies === undefined) {
      tallies = { hot: new Tally(), other: new Tally(), write: new Tally() };
      this.#phases.set(phase, tallies);
    }
    return tallies[kind];
  }

  /** Whether the last answers of every kind were good, so many in a row. */
  isWell(inARow: number): boolean {
    return KINDS.every(kind => this.#inARow[kind] >= inARow);
  }

  /** Reads every hot key once: a copy that nobody has read goes when a connection was lost. The load is not running. */
  async warm(): Promise<void> {
    for (const id of this.#ids.hot) await this.#get('hot', id);
  }

  /** Reads everything from below shared memory once more; the load is not running. */
  async checkAll(): Promise<void> {
    const { api } = this.#options;
    await expectStatus(api.post(`/v1/views/${VIEW}/invalidate`, { all: true }), 200);
    for (const id of this.#all) await this.#get('other', id);
  }

  async #run(kind: Kind, client: number): Promise<void> {
    const own = this.#ids[kind].filter((_, place) => place % CLIENTS_PER_KIND === client);
    while (this.#isRunning) {
      try {
        await this.#step(kind, own);
      } catch (error) {
        this.faults.push(`${kind}: ${String(error)}`);
      }
      await pause(PAUSE_MS);
    }
  }

  async #step(kind: Kind, own: readonly string[]): Promise<void> {
    const id = this.#random.pick(own);
    if (kind === 'hot') await this.#get('hot', id);
    else if (kind === 'other') await this.#lookUp(id, own);
    else if (await this.#write(id)) await this.#get('write', this.#random.pick(own));
  }

  async #lookUp(first: string, own: readonly string[]): Promise<void> {
    const { api } = this.#options;
    const more = Array.from({ length: IDS_PER_LOOKUP - 1 }, () => this.#random.pick(own));
    const ids = [...new Set([first, ...more])];
    await api.post(`/v1/views/${VIEW}/invalidate`, { ids });
    const answer = await this.#timed(
      'other',
      api.post(`/v1/views/${VIEW}/lookup`, { ids, features: FEATURES }),
    );
    if (answer.status !== 200) this.#refused('other', answer);
    else for (const row of rowsOf(answer)) this.#judge('other', row, this.#acknowledged.get(row.id) ?? 0);
  }

  async #get(kind: Kind, id: string): Promise<void> {
    const floor = this.#acknowledged.get(id) ?? 0;
    const answer = await this.#timed(kind, this.#options.api.get(recordPath(VIEW, id)));
    if (answer.status !== 200 && answer.status !== 404) return this.#refused(kind, answer);
    const tally = this.tally(this.#phase, kind);
    if (String(answer.headers['cache-status']).includes('hit')) tally.fromL1++;
    else tally.fromBelow.push(id);
    const { features } = answer.json() as { features?: Readonly<Record<string, unknown>> };
    const status = answer.status === 200 ? 'FOUND' : 'NOT_FOUND';
    this.#judge(kind, { id, status, ...(features === undefined ? {} : { features }) }, floor);
  }

  /** True when it was acknowledged. */
  async #write(id: string): Promise<boolean> {
    const n = (this.#sent.get(id) ?? 0) + 1;
    this.#sent.set(id, n);
    const body = { features: featuresOf(id, n) };
    const answer = await this.#timed('write', this.#options.api.put(recordPath(VIEW, id), body));
    if (answer.status !== 200) {
      this.#refused('write', answer);
      return false;
    }
    if (!(answer.json() as { applied: boolean }).applied) {
      if (!this.#options.mayMislead) this.faults.push(`${this.#phase} ${id}: ${n} was not applied`);
      this.#refused('write', answer);
      return false;
    }
    this.#acknowledged.set(id, n);
    this.#good('write');
    return true;
  }

  async #timed(kind: Kind, asked: Promise<Answer>): Promise<Answer> {
    const phase = this.#phase;
    const began = performance.now();
    const answer = await asked;
    const tookMs = performance.now() - began;
    if (answer.status === 200) this.tally(phase, kind).latenciesMs.push(tookMs);
    if (tookMs > this.#options.limitMs) {
      this.late.push(`${phase} ${kind}: ${answer.status} after ${Math.round(tookMs)} ms`);
    }
    return answer;
  }

  #judge(kind: Kind, { id, status, features }: Row, floor: number): void {
    if (status === 'UNAVAILABLE') {
      this.tally(this.#phase, kind).unavailable++;
      this.#inARow[kind] = 0;
    } else if (status === 'NOT_FOUND') {
      this.tally(this.#phase, kind).lost++;
      this.#inARow[kind] = 0;
      if (!this.#options.mayLose) this.faults.push(`${this.#phase} ${id}: it is said not to be there`);
    } else {
      this.#check(id, features ?? {}, floor);
      this.#good(kind);
    }
  }

  #check(id: string, features: Readonly<Record<string, unknown>>, floor: number): void {
    const n = Number(features['n']);
    const sent = this.#sent.get(id) ?? 0;
    if (!(n >= 1 && n <= sent)) this.faults.push(`${this.#phase} ${id}: ${n} was never sent`);
    if (n < floor && this.#options.mayRegress) {
      this.regressed++;
      this.#acknowledged.set(id, n);
    } else if (n < floor) this.faults.push(`${this.#phase} ${id}: ${n} is older than ${floor}`);
    if (features['text'] !== featuresOf(id, n).text) this.faults.push(`${id}: ${n} is not whole`);
  }

  #good(kind: Kind): void {
    this.tally(this.#phase, kind).ok++;
    this.#inARow[kind]++;
  }

  #refused(kind: Kind, { status, text }: Answer): void {
    this.tally(this.#phase, kind).unavailable++;
    this.#inARow[kind] = 0;
    // With its records, a store forgets its views.
    const isGone = status === 404 && this.#options.mayLose === true;
    if (status !== 200 && !HONEST.has(status) && !isGone)
      this.faults.push(`${this.#phase} ${kind}: ${status} ${text}`);
  }
}

function featuresOf(id: string, n: number): { readonly n: number; readonly text: string } {
  return { n, text: `${id}/${n};`.repeat(1 + ((n * 7 + id.length) % 20)) };
}

function rowsOf(answer: Answer): Row[] {
  const { ids, statuses, columns } = answer.json() as {
    ids: string[];
    statuses: Row['status'][];
    columns: unknown[][];
  };
  return ids.map((id, row) => ({
    id,
    status: statuses[row] ?? 'UNAVAILABLE',
    features: Object.fromEntries(FEATURES.map((name, column) => [name, columns[column]?.[row]])),
  }));
}

async function expectStatus(asked: Promise<Answer>, ...statuses: readonly number[]): Promise<Answer> {
  const answer = await asked;
  if (!statuses.includes(answer.status)) throw new Error(`${answer.status}: ${answer.text}`);
  return answer;
}
