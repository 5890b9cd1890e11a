/** What crosses between a thread that joined a store and the one that opened it. All of it can be cloned. */
import type { MessagePort } from 'node:worker_threads';
import type { CacheDefinition } from '../caches/definition.js';
import type { VectorLoad } from '../caches/embeddings/vector-line.js';
import type { EntryHead } from '../caches/entry.js';
import type { EventRules } from '../caches/events/event-rules.js';
import type { TableHandle } from '../l1/layout.js';
import type { EntryLease, Failure, IngestResult, PutResult } from '../lanes/messages.js';
import type { Invalidation, Selector } from '../views/fence.js';
import type { StoredView, ViewDefinition } from '../views/schema.js';

/** For one thread: its port must be transferred with it. */
export interface StoreHandle {
  readonly port: MessagePort;
  readonly table: TableHandle;
  /** Which of the table's scratches is the thread's. */
  readonly reader: number;
  readonly lanes: number;
  readonly definitions: readonly CacheDefinition[];
  readonly events: EventRules;
  readonly deadlineMs: number;
  readonly lineBytesMax: number;
  /** Calls that may wait at once. */
  readonly callsMax: number;
}

interface OfView {
  readonly viewUid: number;
  readonly deadlineMs: number;
}

/** A call of `LaneCalls`. */
export type LaneRequest = OfView &
  (
    | { readonly kind: 'read'; readonly lane: number; readonly ids: readonly string[] }
    | {
        readonly kind: 'write';
        readonly lane: number;
        readonly id: string;
        readonly body: Uint8Array;
        readonly flat: boolean;
      }
    | {
        readonly kind: 'write-entry';
        readonly lane: number;
        readonly id: string;
        readonly head: EntryHead;
        readonly payload: Uint8Array;
        readonly lease: EntryLease | undefined;
      }
    | { readonly kind: 'remove'; readonly lane: number; readonly id: string }
    | {
        readonly kind: 'ingest';
        readonly lane: number;
        readonly chunk: Uint8Array;
        readonly lineNumbers: Uint32Array;
        readonly flat: boolean;
        readonly vectors: VectorLoad | undefined;
      }
    | { readonly kind: 'invalidate'; readonly spec: Invalidation }
    | { readonly kind: 'erase'; readonly ids: readonly string[] }
  );

export type ViewRequest =
  | { readonly kind: 'declare'; readonly name: string; readonly definition: ViewDefinition }
  | { readonly kind: 'drop'; readonly name: string }
  | { readonly kind: 'fence'; readonly cache: string; readonly selector: Selector };

export interface ThreadCall {
  readonly number: number;
  readonly request: LaneRequest | ViewRequest;
}

export type ThreadAnswer =
  /** A row per id, packed. */
  | { readonly kind: 'rows'; readonly rows: ArrayBuffer; readonly count: number }
  | { readonly kind: 'put'; readonly put: PutResult }
  | { readonly kind: 'ingest'; readonly ingest: IngestResult }
  /** Entries that there were, where that is known, or the number of a schema. */
  | { readonly kind: 'number'; readonly value: number | null }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly failure: Failure };

export type ToOwner =
  | { readonly kind: 'join' }
  /** Views that are not in this round's are not read any more, nor what their fences hide. */
  | { readonly kind: 'seen'; readonly round: number }
  /** Those of one turn of the thread's event loop. */
  | { readonly kind: 'calls'; readonly calls: readonly ThreadCall[] };

export type ToThread =
  /** All that there are, the built-in ones too. */
  | { readonly kind: 'views'; readonly round: number; readonly views: readonly StoredView[] }
  /** One whose fences are others than before. */
  | { readonly kind: 'fences'; readonly round: number; readonly view: StoredView }
  | {
      readonly kind: 'answers';
      readonly answers: readonly { readonly number: number; readonly answer: ThreadAnswer }[];
    };
