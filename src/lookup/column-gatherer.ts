/**
 * A buffer beside the shared table in which an answer's columns are gathered by WebAssembly (`wasm/gather.ts`), straight
 * from the records that the table's reader has just copied out.
 */
import { readFileSync } from 'node:fs';
import { assert } from '../base/assert.js';
import { BUFFER_BYTES, type TableHandle, TableView } from '../l1/layout.js';
import { linked } from '../l1/wasm-module.js';
import { RECORD_TABLE_OFFSET, RECORD_VERSION_OFFSET, RecordField } from '../views/record-layout.js';
import { VIEW_LIMITS } from '../views/schema.js';
import type { Selection } from '../views/selection.js';
import * as plan from './wasm/plan.js';

assert(
  plan.RECORD_TABLE_AT === RECORD_TABLE_OFFSET && plan.RECORD_VERSION_AT === RECORD_VERSION_OFFSET,
  'both know where a record has its table and version',
);
assert(
  plan.FIELD_TOMBSTONE === RecordField.tombstone &&
    plan.FIELD_NULLS === RecordField.nulls &&
    plan.FIELD_FLOAT32S === RecordField.float32s,
  'both know the numbers of the fields',
);

const PLAN_WORDS_MAX = plan.PLAN_COLUMNS_AT + 2 * VIEW_LIMITS.features;

/** What `wasm/gather.ts` exports. */
interface GatherCode {
  gather(rows: number, count: number, plan: number, first: number): number;
}

const code = readFileSync(new URL('./wasm/gather.wasm', import.meta.url));

/** Where the parts of an answer lie, in bytes from its first. */
export interface AnswerPlaces {
  readonly statusesAt: number;
  readonly versionsAt: number;
  readonly columnsAt: Int32Array;
}

export class ColumnGatherer {
  readonly memory: SharedArrayBuffer;
  /** Of the answer's first byte in `memory`. */
  readonly offset: number;
  /** Bytes that an answer may have here. */
  readonly capacity = BUFFER_BYTES - 4 * PLAN_WORDS_MAX;

  readonly #plan: Int32Array;
  readonly #planAt: number;
  readonly #rowsAt: number;
  readonly #code: GatherCode;

  /**
   * @param reader whose rows are gathered.
   * @param buffer which of the table's buffers this one has to itself, from 0.
   */
  constructor(handle: TableHandle, reader: number, buffer: number) {
    const view = new TableView(handle);
    this.memory = handle.memory.buffer;
    this.offset = view.bufferAt(buffer) * 4;
    this.#planAt = this.offset + this.capacity;
    this.#plan = new Int32Array(this.memory, this.#planAt, PLAN_WORDS_MAX);
    this.#rowsAt = view.scratchAt(reader) * 4;
    this.#code = linked<GatherCode>(code, handle.memory);
  }

  /** Says where the float32 features of the answer that now begins go. */
  begin({ byKind, float32Indexes, float32IndexMax }: Selection, places: AnswerPlaces): void {
    const words = this.#plan;
    const { offset } = this;
    words[plan.PLAN_COLUMNS] = float32Indexes.length;
    words[plan.PLAN_INDEX_MAX] = float32IndexMax;
    words[plan.PLAN_STATUSES_AT] = offset + places.statusesAt;
    words[plan.PLAN_VERSIONS_AT] = offset + places.versionsAt;
    for (let n = 0; n < float32Indexes.length; n++) {
      const column = byKind.float32[n] ?? 0;
      words[plan.PLAN_COLUMNS_AT + 2 * n] = offset + (places.columnsAt[column] ?? 0);
      words[plan.PLAN_COLUMNS_AT + 2 * n + 1] = float32Indexes[n] ?? 0;
    }
  }

  /**
   * Gathers the first `count` rows of the reader's into rows `first` and on of the answer: their status, version and
   * float32 features. A bit for each row that it did; the others have no record, or one that is not plain.
   */
  gather(count: number, first: number): number {
    return this.#code.gather(this.#rowsAt, count, this.#planAt, first);
  }
}
