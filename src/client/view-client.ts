/**
 * One view of the feature store. With the features it was given when it was declared, or the same definition again,
 * everything that is read and written is typed.
 *
 * All reading is one lookup in FlatBuffers; single `get`s of one turn of the event loop share one.
 */
import { checkId } from '../base/keys.js';
import { unlessAborted } from './call-deadline.js';
import { ClientError, clientErrorOf, localError } from './client-error.js';
import { Coalescer } from './coalescer.js';
import type { FeatureRow, FeatureRowInput, Features, FeatureType } from './feature-types.js';
import { infoOf } from './info.js';
import { type Invalidation, invalidate } from './invalidation.js';
import { listOf, member, objectOf } from './json-answer.js';
import { isOfType, type LookupColumns, type RowStatus, readLookupColumns } from './lookup-columns.js';
import { type RecordOptions, recordBody } from './record-body.js';
import type { CallOptions, Transport } from './transport.js';

export interface ViewDefinition<F extends Features> {
  readonly entity: string;
  readonly features: F;
  /** `24h` */
  readonly ttl?: string;
  readonly l1?: { readonly bytes?: string | number; readonly eviction?: string };
}

/** A view as the server has it. */
export interface ViewInfo {
  readonly view: string;
  readonly entity: string;
  readonly ttl: string;
  readonly schema: number;
  readonly features: Features;
}

export interface StoredRecord<F extends Features> {
  readonly id: string;
  readonly version: number;
  readonly features: FeatureRow<F>;
}

/** A row of a lookup: what there is, or why there is nothing. */
export type LookupRow<F extends Features> =
  | ({ readonly status: 'PRESENT' } & StoredRecord<F>)
  | { readonly status: Exclude<RowStatus, 'PRESENT'>; readonly id: string };

export interface PutResult {
  readonly id: string;
  /** The one that is held now. */
  readonly version: number;
  /** False: a version that is as new or newer was there. */
  readonly applied: boolean;
}

export interface LoadResult {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  /** The first 100. */
  readonly errors: readonly { readonly line: number; readonly detail: string }[];
}

export interface LoadRecord<F extends Features> extends RecordOptions {
  readonly id: string;
  readonly features: FeatureRowInput<F>;
}

/** A lookup in JSON, as the contract has it. */
export interface LookupJson {
  readonly view: string;
  readonly features: readonly string[];
  readonly ids: readonly string[];
  readonly statuses: readonly RowStatus[];
  readonly versions: readonly (number | null)[];
  readonly columns: readonly (readonly unknown[])[];
}

export interface SelectOptions<K> extends CallOptions {
  /** All that are declared when it is left out. */
  readonly features?: readonly K[] | undefined;
}

type Chosen<F extends Features, K extends keyof F> = { readonly [Name in K]: F[Name] };

const JSON_HEADERS = { 'content-type': 'application/json' };
const FLATBUFFERS = { ...JSON_HEADERS, accept: 'application/vnd.headrace.flatbuffers' };
const NDJSON = { 'content-type': 'application/x-ndjson' };
const IDS_MAX = 10_000;
const LOAD_CHUNK_CHARACTERS = 64 * 1024;

export class ViewClient<F extends Features = Features> {
  readonly name: string;
  readonly definition: ViewDefinition<F> | undefined;
  readonly #transport: Transport;
  readonly #path: string;
  /** By what is selected; each for one turn of the event loop. */
  readonly #rows = new Map<string, Coalescer<LookupRow<F>>>();

  constructor(transport: Transport, name: string, definition: ViewDefinition<F> | undefined) {
    this.name = name;
    this.definition = definition;
    this.#transport = transport;
    this.#path = `/v1/views/${encodeURIComponent(name)}`;
  }

  /** Declares the view as it was defined here; resolves to the number of its schema. */
  async declare(options: CallOptions = {}): Promise<{ readonly schema: number }> {
    const { definition } = this;
    if (definition === undefined)
      throw new ClientError('invalid-view', `the view ${this.name} was given no definition here`);
    const answer = await this.#transport.send({
      ...options,
      method: 'PUT',
      path: this.#path,
      headers: JSON_HEADERS,
      body: JSON.stringify(definition),
      // The same again changes nothing.
      repeat: 'safe',
    });
    return { schema: member(objectOf(answer), 'schema', 'number') };
  }

  /** `undefined`: there is no such view. */
  async info(options: CallOptions = {}): Promise<ViewInfo | undefined> {
    const info = await infoOf(this.#transport, this.#path, 'view-not-found', options);
    return info as unknown as ViewInfo | undefined;
  }

  /** Deletes the view and its records. */
  async drop(options: CallOptions = {}): Promise<void> {
    await this.#transport.send({ ...options, method: 'DELETE', path: this.#path, repeat: 'once' });
  }

  /** `undefined`: there is no such record. @throws ClientError `unavailable` when that is not known. */
  async get<K extends keyof F & string = keyof F & string>(
    id: string,
    { features, signal, timeoutMs }: SelectOptions<K> = {},
  ): Promise<StoredRecord<Chosen<F, K>> | undefined> {
    checkedCall(() => checkId(id));
    const chosen = this.#chosen(features);
    const row =
      timeoutMs === undefined
        ? await unlessAborted(this.#coalesced(chosen).get(id), signal)
        : (await this.#lookupRows([id], chosen, { signal, timeoutMs }))[0];
    if (row?.status === 'UNAVAILABLE')
      throw new ClientError('unavailable', `the record ${id} cannot be read now`);
    return row?.status === 'PRESENT' ? (row as unknown as StoredRecord<Chosen<F, K>>) : undefined;
  }

  /** Rows in the order of the ids, in one request for each 10,000. */
  async getMany<K extends keyof F & string = keyof F & string>(
    ids: readonly string[],
    { features, ...options }: SelectOptions<K> = {},
  ): Promise<LookupRow<Chosen<F, K>>[]> {
    const chosen = this.#chosen(features);
    const parts: Promise<LookupRow<F>[]>[] = [];
    for (let from = 0; from < ids.length; from += IDS_MAX)
      parts.push(this.#lookupRows(ids.slice(from, from + IDS_MAX), chosen, options));
    return (await Promise.all(parts)).flat() as unknown as LookupRow<Chosen<F, K>>[];
  }

  /** Up to 10,000 ids as typed columns. Nothing is made per row, so this is the fastest way to read many. */
  async lookup<K extends keyof F & string = keyof F & string>(
    ids: readonly string[],
    { features, ...options }: SelectOptions<K> = {},
  ): Promise<LookupColumns<Chosen<F, K>>> {
    const found = await this.#lookup(ids, this.#chosen(features), options);
    return found as unknown as LookupColumns<Chosen<F, K>>;
  }

  /** The same as JSON, with bytes as base64 and embeddings as lists. */
  async lookupJson(
    ids: readonly string[],
    { features, ...options }: SelectOptions<string> = {},
  ): Promise<LookupJson> {
    const answer = await this.#send(ids, this.#chosen(features), JSON_HEADERS, options);
    const body = objectOf(answer);
    for (const name of ['features', 'ids', 'statuses', 'versions', 'columns']) listOf(body, name);
    return body as unknown as LookupJson;
  }

  /** Resolves when it is durable. Sent again only with a version, when it has the effect of once. */
  async put(
    id: string,
    features: FeatureRowInput<F>,
    { version, ttl, tags, metadata, ...options }: RecordOptions & CallOptions = {},
  ): Promise<PutResult> {
    const answer = await this.#transport.send({
      ...options,
      method: 'PUT',
      path: this.#recordPath(id),
      headers: JSON_HEADERS,
      body: checkedCall(() => recordBody(features, { version, ttl, tags, metadata })),
      repeat: version === undefined ? 'once' : 'safe',
    });
    const body = objectOf(answer);
    return { id, version: member(body, 'version', 'number'), applied: member(body, 'applied', 'boolean') };
  }

  /** Also where there is none, so that older writes stay out. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({
      ...options,
      method: 'DELETE',
      path: this.#recordPath(id),
      repeat: 'once',
    });
  }

  /** Streams records; memory does not grow with their number. Never sent again. @throws what the records throw, too. */
  async load(
    records: Iterable<LoadRecord<F>> | AsyncIterable<LoadRecord<F>>,
    options: CallOptions = {},
  ): Promise<LoadResult> {
    const call = { ...options, method: 'POST', path: `${this.#path}/records`, headers: NDJSON } as const;
    const lines = new Lines(records);
    const answer = await this.#transport.stream(call, lines).catch(error => {
      throw lines.failure ?? error;
    });
    const body = objectOf(answer);
    return {
      applied: member(body, 'applied', 'number'),
      stale: member(body, 'stale', 'number'),
      failed: member(body, 'failed', 'number'),
      errors: listOf(body, 'errors') as LoadResult['errors'],
    };
  }

  /** Drops cached copies, not records: how many there were. */
  async invalidate(what: Invalidation, options: CallOptions = {}): Promise<number> {
    return member(await invalidate(this.#transport, this.#path, what, options), 'invalidated', 'number');
  }

  #recordPath(id: string): string {
    checkedCall(() => checkId(id));
    return `${this.#path}/records/${encodeURIComponent(id)}`;
  }

  /** Names to ask for; `undefined`: whatever the view has. */
  #chosen(features: readonly string[] | undefined): readonly string[] | undefined {
    return features ?? (this.definition && Object.keys(this.definition.features));
  }

  #coalesced(chosen: readonly string[] | undefined): Coalescer<LookupRow<F>> {
    const selection = JSON.stringify(chosen ?? null);
    const known = this.#rows.get(selection);
    if (known !== undefined) return known;
    const made = new Coalescer<LookupRow<F>>(ids => {
      this.#rows.delete(selection);
      return this.#lookupRows(ids, chosen, {});
    }, IDS_MAX);
    this.#rows.set(selection, made);
    return made;
  }

  async #lookupRows(
    ids: readonly string[],
    chosen: readonly string[] | undefined,
    options: CallOptions,
  ): Promise<LookupRow<F>[]> {
    const { statuses, versions, columns } = await this.#lookup(ids, chosen, options);
    const named = Object.entries(columns);
    return ids.map((id, row) => {
      const status = statuses[row];
      if (status !== 'PRESENT') return { status: status ?? 'UNAVAILABLE', id };
      const features = Object.fromEntries(named.map(([name, column]) => [name, column.at(row)]));
      return { status, id, version: versions[row] ?? 0, features: features as FeatureRow<F> };
    });
  }

  async #lookup(
    ids: readonly string[],
    chosen: readonly string[] | undefined,
    options: CallOptions,
  ): Promise<LookupColumns> {
    const answer = await this.#send(ids, chosen, FLATBUFFERS, options);
    const found = readLookupColumns(answer.bytes, ids);
    const declared = this.definition?.features;
    for (const name of chosen ?? []) {
      const column = found.columns[name];
      if (column === undefined) throw localError('bad-answer', `there is no column ${name}`);
      const type: FeatureType | undefined = declared?.[name];
      if (type !== undefined && !isOfType(column, type))
        throw new ClientError(
          'view-conflict',
          `view ${this.name}: ${name} is ${column.kind} there, ${type} here`,
        );
    }
    return found;
  }

  #send(
    ids: readonly string[],
    features: readonly string[] | undefined,
    headers: Readonly<Record<string, string>>,
    options: CallOptions,
  ) {
    return this.#transport.send({
      ...options,
      method: 'POST',
      path: `${this.#path}/lookup`,
      headers,
      body: JSON.stringify({ ids, features }),
      repeat: 'read',
    });
  }
}

/** Runs what client and server share. @throws ClientError */
function checkedCall<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw clientErrorOf(error);
  }
}

/** Records as NDJSON. */
class Lines<F extends Features> implements AsyncIterable<Uint8Array> {
  readonly #records: Iterable<LoadRecord<F>> | AsyncIterable<LoadRecord<F>>;
  /** Of the records: to whoever sends the lines, it is one of the connection. */
  failure: unknown;

  constructor(records: Iterable<LoadRecord<F>> | AsyncIterable<LoadRecord<F>>) {
    this.#records = records;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let text = '';
    try {
      for await (const { id, features, ...options } of this.#records) {
        text += `${checkedCall(() => recordBody(features, options, id))}\n`;
        if (text.length < LOAD_CHUNK_CHARACTERS) continue;
        yield Buffer.from(text);
        text = '';
      }
    } catch (error) {
      this.failure = error;
      throw error;
    }
    if (text !== '') yield Buffer.from(text);
  }
}
