/** A lane's answers, message by message: whatever happens, a message is answered, with a failure if need be. */
import { unreachable } from '../base/assert.js';
import type { ViewCatalogStore } from '../base/view-catalog.js';
import {
  type ControlReply,
  type ControlTask,
  failureOf,
  type LaneReply,
  type LaneTask,
} from '../lanes/messages.js';
import type { Invalidation } from '../views/fence.js';
import type { CatalogedView } from '../views/schema.js';
import type { TierChain } from './chain.js';
import type { Coherence } from './coherence.js';
import type { Eraser } from './eraser.js';
import { invalidate } from './invalidator.js';
import type { LaneCache } from './lane-cache.js';
import type { LaneViews } from './lane-views.js';
import type { ReadResolver } from './read-resolver.js';
import type { ReadThrough } from './read-through.js';
import type { RecordInspector } from './record-inspector.js';
import type { RecordWriter } from './record-writer.js';
import type { ScoreResolver } from './score-resolver.js';
import type { Sweeper } from './sweeper.js';

export interface LaneServiceParts {
  readonly views: LaneViews;
  readonly catalog: ViewCatalogStore<CatalogedView>;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  readonly coherence: Coherence;
  readonly inspector: RecordInspector;
  readonly reads: ReadResolver;
  readonly writes: RecordWriter;
  readonly scores: ScoreResolver;
  readonly eraser: Pick<Eraser, 'erase'>;
  readonly through: Pick<ReadThrough, 'read' | 'refresh'>;
  readonly sweeper: Pick<Sweeper, 'declare' | 'forget' | 'sweep'>;
  readonly flights: { readonly joined: number };
  /** Begins to read what was hot before the start, unless it has begun. */
  readonly warm: () => void;
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export const DONE: ControlReply = { kind: 'done', count: 0 };

export class LaneService {
  readonly #parts: LaneServiceParts;

  constructor(parts: LaneServiceParts) {
    this.#parts = parts;
  }

  async answer(task: Exclude<LaneTask, { kind: 'start' }>): Promise<LaneReply> {
    try {
      switch (task.kind) {
        case 'read':
          return await this.#parts.reads.read(task.ops);
        case 'write':
          return { kind: 'written', results: await this.#parts.writes.write(task.ops, task.bodies) };
        case 'close':
          await this.#parts.close();
          return DONE;
        default:
          return await this.#control(task);
      }
    } catch (error) {
      return { kind: 'failed', failure: failureOf(error) };
    }
  }

  async #control(task: ControlTask): Promise<ControlReply> {
    const { catalog, sweeper } = this.#parts;
    switch (task.kind) {
      case 'catalog-list':
        return { kind: 'cataloged', views: await catalog.views() };
      case 'catalog-create':
        return { kind: 'standing', standing: await catalog.create(task.draft, task.uidMin) };
      case 'catalog-put':
        return { kind: 'standing', standing: await catalog.put(task.view) };
      case 'catalog-drop':
        await catalog.drop(task.view);
        return DONE;
      case 'declare':
        sweeper.declare(task.view);
        return DONE;
      case 'forget':
        sweeper.forget(task.viewUid);
        return DONE;
      case 'invalidate':
        return { kind: 'done', count: await this.#invalidate(task.viewUid, task.spec) };
      case 'erase':
        // What is in memory goes first, so that it goes at once.
        await this.#invalidate(task.viewUid, { kind: 'ids', ids: task.ids });
        return { kind: 'done', count: await this.#parts.eraser.erase(task) };
      case 'read-through':
        return this.#parts.through.read(task);
      case 'refresh':
        this.#parts.through.refresh(task);
        return DONE;
      case 'sweep':
        sweeper.sweep(task.viewUid);
        return DONE;
      case 'score':
        return { kind: 'scored', scores: await this.#parts.scores.score(task) };
      case 'warm':
        this.#parts.warm();
        return DONE;
      case 'stats':
        return this.#stats();
      default:
        return unreachable(task);
    }
  }

  /** Drops cached copies: how many. */
  #invalidate(viewUid: number, spec: Invalidation): Promise<number> {
    const { views, cache, coherence, inspector, pause } = this.#parts;
    const { slot, uid } = views.get(viewUid).view;
    coherence.invalidated(uid, slot, spec.kind === 'ids' ? spec.ids : undefined);
    return invalidate(cache, inspector, slot, spec, pause);
  }

  #stats(): ControlReply {
    const { reads, writes, chain, flights } = this.#parts;
    const counters = {
      l1Hits: reads.l1Hits,
      tierHits: reads.tierHits,
      misses: reads.misses,
      corrupt: chain.corrupt,
      tierFailures: chain.failures,
      joined: flights.joined,
      applied: writes.applied,
      stale: writes.stale,
    };
    return { kind: 'stats', counters };
  }
}
