/**
 * A feature extractor before which stands a view: what the view has comes in one lookup, what it lacks is extracted in
 * one call of the function and written back behind the caller's back. When the server fails, all is extracted.
 */
import { ClientError } from './client-error.js';
import type { FeatureRow, FeatureRowInput, Features, FeatureType } from './feature-types.js';
import { Outage } from './outage.js';
import type { LoadRecord, LookupRow, ViewClient } from './view-client.js';

/** Whole records by id, for all the features that they have: what is left out of one is null from then on. */
export type Extracted<F extends Features> =
  | ReadonlyMap<string, FeatureRowInput<F>>
  | Readonly<Record<string, FeatureRowInput<F> | undefined>>;

export interface FeaturesOptions<F extends Features, K extends keyof F & string> {
  readonly view: ViewClient<F>;
  /** All that are declared when it is left out. */
  readonly features?: readonly K[] | undefined;
  /** Of the records that are written back, as `put` takes them. */
  readonly ttl?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly version?: number | undefined;
  /** What the lookup may take before the function is called; 250 when it is left out. */
  readonly timeoutMs?: number | undefined;
  readonly onFailure?: ((error: ClientError) => void) | undefined;
}

/** Ids, but for `failed`. */
export interface FeaturesFigures {
  found: number;
  extracted: number;
  /** Extracted by another call that was under way. */
  joined: number;
  written: number;
  /** Lookups and writes that failed. */
  failed: number;
}

type Row<F extends Features, K extends keyof F> = FeatureRow<{ readonly [Name in K]: F[Name] }>;

export interface ExtractedFeatures<F extends Features, K extends keyof F & string> {
  /** In the order of the ids; `undefined` where neither the view nor the function has any. */
  (ids: readonly string[]): Promise<(Row<F, K> | undefined)[]>;
  readonly figures: Readonly<FeaturesFigures>;
}

const TIMEOUT_MS = 250;
const WRITE_TIMEOUT_MS = 10_000;
const FLIGHTS_MAX = 100_000;

export function extractedFeatures<F extends Features, K extends keyof F & string = keyof F & string>(
  background: (work: Promise<void>) => void,
  extract: (ids: readonly string[]) => Promise<Extracted<F>> | Extracted<F>,
  options: FeaturesOptions<F, K>,
): ExtractedFeatures<F, K> {
  const runner = new FeaturesRunner(background, extract, options);
  return Object.assign((ids: readonly string[]) => runner.call(ids), { figures: runner.figures });
}

class FeaturesRunner<F extends Features, K extends keyof F & string> {
  readonly figures: FeaturesFigures = { found: 0, extracted: 0, joined: 0, written: 0, failed: 0 };
  readonly #background: (work: Promise<void>) => void;
  readonly #extract: (ids: readonly string[]) => Promise<Extracted<F>> | Extracted<F>;
  readonly #options: FeaturesOptions<F, K>;
  readonly #flights = new Map<string, Promise<ReadonlyMap<string, FeatureRowInput<F>>>>();
  readonly #outage = new Outage();

  constructor(
    background: (work: Promise<void>) => void,
    extract: (ids: readonly string[]) => Promise<Extracted<F>> | Extracted<F>,
    options: FeaturesOptions<F, K>,
  ) {
    this.#background = background;
    this.#extract = extract;
    this.#options = options;
  }

  async call(ids: readonly string[]): Promise<(Row<F, K> | undefined)[]> {
    const distinct = [...new Set(ids)];
    const rows = new Map<string, Row<F, K>>();
    const lacking: string[] = [];
    // What a store cannot say now, it is not told either.
    const writable = new Set<string>();
    const found = await this.#lookup(distinct);
    distinct.forEach((id, place) => {
      const row = found?.[place];
      if (row?.status === 'PRESENT') rows.set(id, row.features as Row<F, K>);
      else lacking.push(id);
      if (row?.status === 'NOT_FOUND') writable.add(id);
    });
    this.figures.found += rows.size;
    const extracted = await this.#extracted(lacking, writable);
    for (const [id, row] of extracted) rows.set(id, this.#asRead(row));
    return ids.map(id => rows.get(id));
  }

  async #lookup(ids: readonly string[]): Promise<LookupRow<Features>[] | undefined> {
    if (ids.length === 0 || !this.#outage.mayAsk()) return undefined;
    const { view, features, timeoutMs = TIMEOUT_MS } = this.#options;
    try {
      const rows = await view.getMany(ids, { features, timeoutMs });
      this.#outage.succeeded();
      return rows as unknown as LookupRow<Features>[];
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  /** Rows of those ids that the function has, each id in one call of it at a time. */
  async #extracted(
    ids: readonly string[],
    writable: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, FeatureRowInput<F>>> {
    const joined = new Map(
      ids.flatMap(id => (this.#flights.has(id) ? [[id, this.#flights.get(id)] as const] : [])),
    );
    const own = ids.filter(id => !joined.has(id));
    const rows = new Map<string, FeatureRowInput<F>>();
    this.figures.joined += joined.size;
    if (own.length > 0) for (const [id, row] of await this.#ownFlight(own, writable)) rows.set(id, row);
    for (const [id, flight] of joined) {
      const row = (await flight)?.get(id);
      if (row !== undefined) rows.set(id, row);
    }
    return rows;
  }

  async #ownFlight(
    ids: readonly string[],
    writable: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, FeatureRowInput<F>>> {
    const flight = (async () => mapOf(await this.#extract(ids), ids))();
    if (this.#flights.size + ids.length <= FLIGHTS_MAX) for (const id of ids) this.#flights.set(id, flight);
    let writing: Promise<void> = Promise.resolve();
    try {
      const rows = await flight;
      this.figures.extracted += rows.size;
      writing = this.#write([...rows].filter(([id]) => writable.has(id)));
      return rows;
    } finally {
      // Until it is written: who looks it up in between would not find it.
      this.#background(
        writing.finally(() => {
          for (const id of ids) if (this.#flights.get(id) === flight) this.#flights.delete(id);
        }),
      );
    }
  }

  /** Never rejects. */
  async #write(rows: readonly (readonly [string, FeatureRowInput<F>])[]): Promise<void> {
    if (rows.length === 0) return;
    const { view, ttl, tags, version } = this.#options;
    const records: LoadRecord<F>[] = rows.map(([id, features]) => ({ id, features, ttl, tags, version }));
    try {
      const { applied, failed, errors } = await view.load(records, { timeoutMs: WRITE_TIMEOUT_MS });
      this.figures.written += applied;
      const detail = errors[0]?.detail ?? '';
      if (failed > 0)
        throw new ClientError('invalid-record', `${failed} records were not taken: ${detail}`, {
          status: 422,
        });
    } catch (error) {
      this.#failed(error);
    }
  }

  /** As the view would give it back, so that it does not matter where a row comes from. */
  #asRead(row: FeatureRowInput<F>): Row<F, K> {
    const { view, features } = this.#options;
    const declared = view.definition?.features;
    const names = features ?? Object.keys(declared ?? row);
    const given = row as Readonly<Record<string, unknown>>;
    return Object.fromEntries(names.map(name => [name, read(given[name], declared?.[name])])) as Row<F, K>;
  }

  #failed(error: unknown): void {
    this.figures.failed++;
    const reason =
      error instanceof ClientError
        ? error
        : new ClientError('bad-answer', 'reading or writing features failed', { cause: error });
    this.#outage.failed(reason);
    try {
      this.#options.onFailure?.(reason);
    } catch {
      // Who listens is not to harm who calls.
    }
  }
}

function mapOf<F extends Features>(
  given: Extracted<F>,
  ids: readonly string[],
): ReadonlyMap<string, FeatureRowInput<F>> {
  const rows = new Map<string, FeatureRowInput<F>>();
  for (const id of ids) {
    const row = given instanceof Map ? given.get(id) : ownOf(given, id);
    if (row !== undefined) rows.set(id, row as FeatureRowInput<F>);
  }
  return rows;
}

/** Not what every object has: an id may be its name. */
function ownOf(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? (object as Readonly<Record<string, unknown>>)[name] : undefined;
}

function read(value: unknown, type: FeatureType | undefined): unknown {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return Float32Array.from(value as readonly number[]);
  return type === 'float32' && typeof value === 'number' ? Math.fround(value) : value;
}
