/**
 * One view of a store in the process: as `ViewClient` has it, without a server between, and with reads that answer at
 * once from shared memory.
 */
import { HeadraceError } from '../base/errors.js';
import { checkId } from '../base/keys.js';
import type { FeatureRow, FeatureRowInput, Features } from '../client/feature-types.js';
import type { Invalidation } from '../client/invalidation.js';
import { type LookupColumns, readLookupColumns } from '../client/lookup-columns.js';
import { type RecordOptions, recordBody } from '../client/record-body.js';
import type {
  LoadRecord,
  LoadResult,
  LookupRow,
  PutResult,
  StoredRecord,
  ViewDefinition,
} from '../client/view-client.js';
import { LookupAnswer } from '../lookup/lookup-answer-columns.js';
import { readInvalidation } from '../lookup/request-json.js';
import { RecordReader } from '../views/record-reader.js';
import type { Feature, View } from '../views/schema.js';
import { selectFeatures } from '../views/selection.js';
import { nameProblem, readViewDefinition } from '../views/view-json.js';
import { featureValue } from './record-values.js';
import type { StoreParts } from './store-parts.js';

type Chosen<F extends Features, K extends keyof F> = { readonly [Name in K]: F[Name] };

export interface SelectFeatures<K> {
  /** All that are declared when it is left out. */
  readonly features?: readonly K[] | undefined;
}

/** What a selection is in a view as it stands. */
interface Resolved {
  readonly view: View;
  readonly names: readonly string[] | undefined;
  readonly features: readonly Feature[];
}

export class StoreView<F extends Features = Features> {
  readonly name: string;
  readonly definition: ViewDefinition<F> | undefined;
  readonly #parts: StoreParts;
  readonly #record = new RecordReader();
  /** The last selection that was asked for. */
  #resolved: Resolved | undefined;
  /** The names of a typed view's features: one array, so that it is known again. */
  readonly #names: readonly string[] | undefined;

  constructor(parts: StoreParts, name: string, definition: ViewDefinition<F> | undefined) {
    this.name = name;
    this.definition = definition;
    this.#parts = parts;
    this.#names = definition && Object.keys(definition.features);
  }

  /** Declares the view as it was defined here; resolves to the number of its schema. @throws HeadraceError */
  async declare(): Promise<{ readonly schema: number }> {
    const problem = nameProblem(this.name);
    if (problem !== undefined) throw new HeadraceError('bad-name', `the view's name ${problem}`);
    if (this.definition === undefined)
      throw new HeadraceError('invalid-view', `the view ${this.name} was given no definition here`);
    const definition = readViewDefinition(Buffer.from(JSON.stringify(this.definition)));
    return { schema: await this.#parts.declare(this.name, definition) };
  }

  /** Deletes the view and its records. @throws HeadraceError */
  drop(): Promise<void> {
    return this.#parts.drop(this.name);
  }

  /**
   * The record, when shared memory has it: no promise, no lock, no thread is crossed. `undefined`: it is not there, or
   * not at all. @throws HeadraceError `view-not-found`, `bad-id`
   */
  getSync<K extends keyof F & string = keyof F & string>(
    id: string,
    { features }: SelectFeatures<K> = {},
  ): StoredRecord<Chosen<F, K>> | undefined {
    checkId(id);
    const { records } = this.#parts;
    const selected = this.#select(features);
    const length = records.probe(selected.view, id, records.now());
    return length < 0 ? undefined : this.#recordOf(id, selected, records.l1Bytes, length);
  }

  /** `undefined`: there is no such record. @throws HeadraceError `unavailable` when that is not known. */
  async get<K extends keyof F & string = keyof F & string>(
    id: string,
    { features }: SelectFeatures<K> = {},
  ): Promise<StoredRecord<Chosen<F, K>> | undefined> {
    checkId(id);
    const { records } = this.#parts;
    const selected = this.#select(features);
    const length = records.probe(selected.view, id, records.now());
    if (length >= 0) return this.#recordOf(id, selected, records.l1Bytes, length);
    const record = await records.fetch(selected.view, id);
    return record && this.#recordOf(id, selected, record, record.length);
  }

  /** Rows in the order of the ids. */
  async getMany<K extends keyof F & string = keyof F & string>(
    ids: readonly string[],
    select: SelectFeatures<K> = {},
  ): Promise<LookupRow<Chosen<F, K>>[]> {
    const { statuses, versions, columns } = await this.lookup(ids, select);
    const named = Object.entries(columns as LookupColumns['columns']);
    return ids.map((id, row) => {
      const status = statuses[row];
      if (status !== 'PRESENT') return { status: status ?? 'UNAVAILABLE', id };
      const features = Object.fromEntries(named.map(([name, column]) => [name, column.at(row)]));
      return { status, id, version: versions[row] ?? 0, features: features as FeatureRow<Chosen<F, K>> };
    });
  }

  /** Typed columns. */
  async lookup<K extends keyof F & string = keyof F & string>(
    ids: readonly string[],
    { features }: SelectFeatures<K> = {},
  ): Promise<LookupColumns<Chosen<F, K>>> {
    for (const id of ids) checkId(id);
    const { view, names } = this.#select(features);
    const answer = new LookupAnswer();
    answer.begin(selectFeatures(view, names), ids);
    await this.#parts.records.lookup(view, ids, answer);
    return readLookupColumns(answer.finishFlatBuffer(), ids) as unknown as LookupColumns<Chosen<F, K>>;
  }

  /** Resolves when it is durable. */
  async put(id: string, features: FeatureRowInput<F>, options: RecordOptions = {}): Promise<PutResult> {
    checkId(id);
    const body = Buffer.from(recordBody(features, options));
    const { version, applied } = await this.#parts.records.write(this.#view(), id, body);
    return { id, version, applied };
  }

  /** Also where there is none, so that older writes stay out. */
  async delete(id: string): Promise<void> {
    checkId(id);
    await this.#parts.records.remove(this.#view(), id);
  }

  /** Takes records as fast as they become durable; memory does not grow with their number. */
  async load(records: Iterable<LoadRecord<F>> | AsyncIterable<LoadRecord<F>>): Promise<LoadResult> {
    let wake = () => {};
    let failure: unknown;
    const ingest = this.#parts.records.ingest({
      view: this.#view(),
      flat: false,
      lineBytesMax: this.#parts.lineBytesMax,
      onDrain: () => wake(),
      onFailure: error => {
        failure = error;
        wake();
      },
    });
    for await (const { id, features, ...options } of records) {
      const drained = new Promise<void>(resolve => {
        wake = resolve;
      });
      if (!ingest.push(Buffer.from(`${recordBody(features, options, id)}\n`))) await drained;
      if (failure !== undefined) throw failure;
    }
    return ingest.end();
  }

  /** Drops cached copies, not records: how many there were. */
  async invalidate(what: Invalidation): Promise<number> {
    return this.#parts.records.invalidate(this.#view(), readInvalidation(Buffer.from(JSON.stringify(what))));
  }

  #view(): View {
    const view = this.#parts.viewNamed(this.name);
    if (view === undefined) throw new HeadraceError('view-not-found', `there is no view ${this.name}`);
    return view;
  }

  #select(features: readonly string[] | undefined): Resolved {
    const view = this.#view();
    const names = features ?? this.#names;
    const known = this.#resolved;
    if (known !== undefined && known.view === view && known.names === names) return known;
    const { features: selected } = selectFeatures(view, names);
    for (const { name, type } of selected) {
      const declared = this.definition?.features[name];
      if (declared !== undefined && declared !== type)
        throw new HeadraceError(
          'view-conflict',
          `view ${view.name}: ${name} is ${type} there, ${declared} here`,
        );
    }
    this.#resolved = { view, names, features: selected };
    return this.#resolved;
  }

  #recordOf<K extends keyof F & string>(
    id: string,
    { features }: Resolved,
    bytes: Uint8Array,
    length: number,
  ): StoredRecord<Chosen<F, K>> | undefined {
    const record = this.#record;
    record.reset(bytes, 0, length);
    if (record.tombstone) return undefined;
    const row: Record<string, unknown> = {};
    for (const feature of features) row[feature.name] = featureValue(record, feature);
    return { id, version: record.version, features: row as FeatureRow<Chosen<F, K>> };
  }
}
