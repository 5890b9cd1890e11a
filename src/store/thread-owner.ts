/**
 * The side of the thread that opened a store: hands out places for other threads, and does for them what needs a lane.
 *
 * A view's place in shared memory may become another view's. So a view is only gone when every thread that joined has
 * said that it does not read it any more. For the same reason what is invalidated of a cache is only gone when each has
 * said that it knows the fence: a thread looks into shared memory by itself.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { HeadraceError } from '../base/errors.js';
import type { CacheDefinition } from '../caches/definition.js';
import type { EventRules } from '../caches/events/event-rules.js';
import type { TableHandle } from '../l1/layout.js';
import type { LaneCalls } from '../lanes/lanes.js';
import { failureOf } from '../lanes/messages.js';
import { type PackedRows, packRows, ROW } from '../lanes/packed-rows.js';
import type { Selector } from '../views/fence.js';
import type { ViewRegistry } from '../views/registry.js';
import { storedViewOf, type View } from '../views/schema.js';
import type { StoreHandle, ThreadAnswer, ThreadCall, ToOwner, ToThread } from './thread-messages.js';

export interface ThreadOwnerParts {
  readonly table: TableHandle;
  readonly lanes: LaneCalls;
  readonly views: Pick<ViewRegistry, 'all' | 'declare' | 'drop'>;
  /** As `StoreParts` have it. */
  readonly fence: (cache: string, selector: Selector) => Promise<number | null>;
  readonly definitions: readonly CacheDefinition[];
  readonly events: EventRules;
  readonly deadlineMs: number;
  readonly lineBytesMax: number;
  readonly callsMax: number;
}

interface Place {
  readonly reader: number;
  readonly port: MessagePort;
  hasJoined: boolean;
  /** The last round of views and fences that it has confirmed. */
  seen: number;
  answers: { readonly number: number; readonly answer: ThreadAnswer }[];
}

/** A thread that is in a long computation confirms nothing. */
const CONFIRM_MS_MAX = 5_000;

export class ThreadOwner {
  readonly threadsMax: number;
  #parts: ThreadOwnerParts | undefined;
  readonly #places = new Set<Place>();
  #byUid = new Map<number, View>();
  #round = 0;
  #onSeen: (() => void)[] = [];

  constructor(threadsMax: number) {
    this.threadsMax = threadsMax;
  }

  begin(parts: ThreadOwnerParts): void {
    this.#parts = parts;
    this.viewsChanged();
  }

  /** A place for one thread. @throws HeadraceError `overloaded` when there are as many as there may be. */
  handle(): StoreHandle {
    const parts = this.#begun();
    const { table, lanes, definitions, events, deadlineMs, lineBytesMax, callsMax } = parts;
    const { port1, port2 } = new MessageChannel();
    const place = { reader: this.#freeReader(), port: port1, hasJoined: false, seen: 0, answers: [] };
    this.#places.add(place);
    port1.on('message', (message: ToOwner) => this.#take(place, message));
    // Also when its thread ends, however that does.
    port1.on('close', () => {
      this.#places.delete(place);
      this.#tellSeen();
    });
    port1.unref();
    const { reader } = place;
    return {
      port: port2,
      table,
      reader,
      lanes: lanes.count,
      definitions,
      events,
      deadlineMs,
      lineBytesMax,
      callsMax,
    };
  }

  viewsChanged(): void {
    if (this.#parts === undefined) return;
    this.#round++;
    this.#byUid = new Map(this.#parts.views.all().map(view => [view.uid, view]));
    for (const place of this.#places) if (place.hasJoined) this.#sendViews(place);
  }

  /** The fences of a view are others than before: it alone is told of. */
  fencesChanged(view: View): void {
    if (this.#parts === undefined) return;
    this.#round++;
    this.#byUid.set(view.uid, view);
    const message = { kind: 'fences', round: this.#round, view: storedViewOf(view) } satisfies ToThread;
    for (const { hasJoined, port } of this.#places) if (hasJoined) port.postMessage(message);
  }

  /** Resolves when no thread reads a view that is gone. @throws HeadraceError `unavailable` */
  forgotten(): Promise<void> {
    this.viewsChanged();
    return this.confirmed();
  }

  /** Resolves when every thread knows what has been told until now. @throws HeadraceError `unavailable` */
  async confirmed(): Promise<void> {
    const round = this.#round;
    const endsAtMs = performance.now() + CONFIRM_MS_MAX;
    const isOpen = () => [...this.#places].some(place => place.hasJoined && place.seen < round);
    while (isOpen()) {
      if (performance.now() > endsAtMs)
        throw new HeadraceError('unavailable', 'a thread that joined the store does not answer; try again');
      await this.#nextSeen(endsAtMs - performance.now());
    }
  }

  close(): void {
    for (const { port } of this.#places) port.close();
  }

  #begun(): ThreadOwnerParts {
    if (this.#parts === undefined) throw new HeadraceError('unavailable', 'the store is not open yet');
    return this.#parts;
  }

  #freeReader(): number {
    const { lanes } = this.#begun();
    const taken = new Set([...this.#places].map(({ reader }) => reader));
    // Each lane has the reader of its number, and this thread the next.
    for (let reader = lanes.count + 1; reader <= lanes.count + this.threadsMax; reader++)
      if (!taken.has(reader)) return reader;
    throw new HeadraceError('overloaded', `${this.threadsMax} threads have joined, and no more may`);
  }

  #sendViews({ port }: Place): void {
    const views = [...this.#byUid.values()].map(storedViewOf);
    port.postMessage({ kind: 'views', round: this.#round, views } satisfies ToThread);
  }

  #take(place: Place, message: ToOwner): void {
    if (message.kind === 'join') {
      place.hasJoined = true;
      this.#sendViews(place);
    } else if (message.kind === 'seen') {
      place.seen = message.round;
      this.#tellSeen();
    } else for (const call of message.calls) void this.#serve(place, call);
  }

  async #serve(place: Place, { number, request }: ThreadCall): Promise<void> {
    const answer = await this.#answer(request).catch(
      (error: unknown): ThreadAnswer => ({ kind: 'failed', failure: failureOf(error) }),
    );
    if (!this.#places.has(place)) return;
    place.answers.push({ number, answer });
    if (place.answers.length === 1) setImmediate(() => this.#sendAnswers(place));
  }

  /** Those of one turn of the event loop together. */
  #sendAnswers(place: Place): void {
    const answers = place.answers;
    place.answers = [];
    const buffers = answers.flatMap(({ answer }) => (answer.kind === 'rows' ? [answer.rows] : []));
    place.port.postMessage({ kind: 'answers', answers } satisfies ToThread, buffers);
  }

  async #answer(request: ThreadCall['request']): Promise<ThreadAnswer> {
    const { lanes, views, fence } = this.#begun();
    switch (request.kind) {
      case 'declare': {
        const { view } = await views.declare(request.name, request.definition);
        return { kind: 'number', value: view.schema };
      }
      case 'drop':
        await views.drop(request.name);
        return { kind: 'done' };
      case 'fence':
        return { kind: 'number', value: await fence(request.cache, request.selector) };
    }
    const { deadlineMs } = request;
    const view = this.#byUid.get(request.viewUid);
    if (view === undefined) throw new HeadraceError('view-not-found', 'the view is gone');
    switch (request.kind) {
      case 'read':
        return rowsAnswer(await lanes.read(request.lane, view, request.ids, deadlineMs));
      case 'write': {
        const { lane, id, body, flat } = request;
        return { kind: 'put', put: await lanes.write(lane, view, id, body, deadlineMs, flat) };
      }
      case 'write-entry': {
        const { lane, id, head, payload, lease } = request;
        const put = await lanes.writeEntry(lane, view, id, head, payload, deadlineMs, lease);
        return { kind: 'put', put };
      }
      case 'remove':
        return { kind: 'put', put: await lanes.remove(request.lane, view, request.id, deadlineMs) };
      case 'ingest': {
        const { lane, chunk, lineNumbers, flat, vectors } = request;
        const ingest = await lanes.ingest(lane, view, chunk, lineNumbers, flat, deadlineMs, vectors);
        return { kind: 'ingest', ingest };
      }
      case 'invalidate':
        return { kind: 'number', value: await lanes.invalidate(view, request.spec, deadlineMs) };
      case 'erase':
        return { kind: 'number', value: await lanes.erase(view, request.ids, deadlineMs) };
    }
  }

  #tellSeen(): void {
    for (const tell of this.#onSeen.splice(0)) tell();
  }

  #nextSeen(withinMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, withinMs);
      this.#onSeen.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** In a buffer of their own, which changes its thread. */
function rowsAnswer(rows: PackedRows): ThreadAnswer {
  const { count } = rows;
  const packed = Array.from({ length: count }, (_, row) => {
    const status = rows.status(row);
    return status === ROW.present ? (rows.record(row) ?? ROW.notFound) : status;
  });
  return { kind: 'rows', rows: packRows(packed), count };
}
