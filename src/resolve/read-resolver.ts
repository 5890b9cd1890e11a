/**
 * Answers a message of reads: what the shared table has by now, then flights under way, then the tiers, once a key.
 *
 * A reply is bounded: keys are read a few at a time, and once there are `REPLY_BYTES_MAX` the rows that are left are
 * DEFERRED, for the front to ask for again. However large the records, a lookup of thousands takes little memory.
 *
 * A row is put into the shared table before it is answered, last of all tiers. The larger version wins there, so that a
 * fill that was slow cannot hide a write that was faster; and as a lane forgets a dropped view before the view's place
 * in the table is given away, no fill can land under another view's name.
 */
import type { Clock } from '../base/clock.js';
import { storageKey } from '../base/keys.js';
import { type Failure, failureOf, type ReadOp, type ReadReply } from '../lanes/messages.js';
import { packRows, ROW, type Row } from '../lanes/packed-rows.js';
import { type Found, type TierChain, UNAVAILABLE } from './chain.js';
import { type Coherence, keyName } from './coherence.js';
import { checkDeadline } from './deadline.js';
import type { FencePass } from './key-fence.js';
import { dropOlder, type LaneCache } from './lane-cache.js';
import type { LaneView, LaneViews } from './lane-views.js';
import type { NegativeEntries } from './negative-entries.js';
import type { RecordInspector } from './record-inspector.js';
import type { SingleFlight } from './single-flight.js';

export interface ReadResolverParts {
  readonly views: LaneViews;
  readonly cache: LaneCache;
  readonly chain: TierChain;
  readonly flights: SingleFlight<Found>;
  readonly negative: NegativeEntries;
  readonly coherence: Coherence;
  readonly inspector: RecordInspector;
  readonly clock: Clock;
}

/** The last keys read may go over it. */
const REPLY_BYTES_MAX = 16 * 1024 * 1024;
/** Keys read in one question: a record has at most 1 MiB, so a reply has at most 64 MiB more than it should. */
const SLICE_KEYS = 64;

/** A key the message asks for and the shared table lacks, and the rows that wait for it. */
interface Wanted {
  readonly name: string;
  readonly lane: LaneView;
  readonly id: string;
  readonly rows: number[];
  /** Good as long as the key has not changed since it was asked for. */
  pass: FencePass;
}

interface Message {
  readonly rows: Row[];
  readonly wanted: Map<string, Wanted>;
  readonly nowMs: number;
  /** The latest of the ops': until then somebody waits. */
  deadlineMs: number;
  /** Of the records in `rows`. */
  bytes: number;
}

export class ReadResolver {
  readonly #parts: ReadResolverParts;
  l1Hits = 0;
  tierHits = 0;
  misses = 0;

  constructor(parts: ReadResolverParts) {
    this.#parts = parts;
  }

  read(ops: readonly ReadOp[]): ReadReply | Promise<ReadReply> {
    const nowMs = this.#parts.clock.now();
    const message: Message = { rows: [], wanted: new Map(), nowMs, deadlineMs: 0, bytes: 0 };
    const failures = ops.map(op => this.#probe(op, message));
    const reply = (): ReadReply => ({ rows: packRows(message.rows), failures });
    const waits = this.#fetch(message);
    return waits.length === 0 ? reply() : Promise.all(waits).then(reply);
  }

  /** Takes what the shared table has, and notes what must be fetched. */
  #probe(op: ReadOp, message: Message): Failure | null {
    const { cache, views, clock, negative } = this.#parts;
    const { rows, wanted } = message;
    const first = rows.length;
    for (let index = 0; index < op.ids.length; index++) rows.push(ROW.unavailable);
    try {
      checkDeadline(op.deadlineMs, clock);
      const lane = views.get(op.viewUid);
      message.deadlineMs = Math.max(message.deadlineMs, op.deadlineMs);
      for (let index = 0; index < op.ids.length; index++) {
        const id = op.ids[index] as string;
        if (message.bytes > REPLY_BYTES_MAX) {
          rows[first + index] = ROW.deferred;
          continue;
        }
        const cached = cache.get(lane.view.slot, id);
        if (cached !== undefined && lane.fences?.hidesId(cached, 0, cached.length, id) !== true) {
          this.l1Hits++;
          rows[first + index] = this.#rowOf(cached);
          message.bytes += cached.byteLength;
          continue;
        }
        const name = keyName(op.viewUid, id);
        const known = wanted.get(name);
        if (known !== undefined) known.rows.push(first + index);
        else if (negative.has(name, message.nowMs)) rows[first + index] = ROW.notFound;
        else wanted.set(name, { name, lane, id, rows: [first + index], pass: negative.begin(name) });
      }
      return null;
    } catch (error) {
      return failureOf(error);
    }
  }

  /** Asks for everything wanted in one question to the chain. What it answers at once is not waited for. */
  #fetch(message: Message): Promise<void>[] {
    const { flights } = this.#parts;
    const asked: Wanted[] = [];
    const waits: Promise<void>[] = [];
    for (const wanted of message.wanted.values()) {
      const flight = flights.size === 0 ? undefined : flights.join(wanted.name);
      if (flight === undefined) asked.push(wanted);
      else waits.push(this.#settle(message, wanted, flight));
    }
    if (asked.length === 0) return waits;
    // Too many keys are under way: no tier is bothered with more, and these rows stay UNAVAILABLE.
    if (!flights.hasRoom(asked.length)) return waits;
    for (let from = 0; from < asked.length; ) {
      const part = asked.slice(from, from + SLICE_KEYS);
      from += part.length;
      if (message.bytes > REPLY_BYTES_MAX) defer(message, part);
      else waits.push(...this.#ask(message, part));
    }
    return waits;
  }

  #ask(message: Message, asked: readonly Wanted[]): Promise<void>[] {
    const keys = asked.map(({ lane, id }) => storageKey(lane.view.uid, id));
    const answer = this.#parts.chain.getMany(keys, {
      nowMs: message.nowMs,
      deadlineMs: message.deadlineMs,
      mayKeep: place => this.#mayKeep(asked[place] as Wanted),
    });
    if (answer instanceof Promise) return this.#launch(message, asked, answer);
    for (let index = 0; index < asked.length; index++) {
      this.#land(message, asked[index] as Wanted, answer[index], true);
    }
    return [];
  }

  #launch(message: Message, asked: readonly Wanted[], answer: Promise<Found[]>): Promise<void>[] {
    const { flights } = this.#parts;
    return asked.map((wanted, index) => {
      const flight = answer.then(found => {
        this.#keep(wanted, found[index]);
        return found[index];
      });
      flights.begin(wanted.name, flight);
      return this.#settle(message, wanted, flight);
    });
  }

  async #settle(message: Message, wanted: Wanted, flight: Promise<Found>): Promise<void> {
    try {
      this.#land(message, wanted, await flight, false);
    } catch {
      this.#land(message, wanted, UNAVAILABLE, false);
    }
  }

  #land(message: Message, wanted: Wanted, landed: Found, keep: boolean): void {
    if (keep) this.#keep(wanted, landed);
    // The flight may have begun while the record's time was not over yet.
    const found = this.#isOver(landed, message.nowMs) ? undefined : landed;
    if (found === undefined) this.misses++;
    else if (found !== UNAVAILABLE) this.tierHits++;
    const row =
      found === UNAVAILABLE ? ROW.unavailable : found === undefined ? ROW.notFound : this.#rowOf(found);
    for (const place of wanted.rows) message.rows[place] = row;
    if (typeof row === 'number') return;
    message.bytes += row.byteLength;
  }

  /** Into the shared table, tombstones too: they keep slower, older fills out and answer for what is not there. */
  #keep(wanted: Wanted, found: Found): void {
    if (found === UNAVAILABLE) return;
    const { cache, coherence, inspector, negative, views, clock } = this.#parts;
    const { name, lane, id, pass } = wanted;
    const { slot, uid } = lane.view;
    if (found === undefined) negative.settle(name, pass, clock.now(), coherence.keptMsMax);
    else if (this.#mayKeep(wanted))
      cache.put(slot, id, found, coherence.servedUntil(inspector.expiresAt(found)));
    else if (views.find(uid) !== undefined) dropOlder(cache, slot, id, inspector.version(found));
  }

  /** Not when the view was dropped or the record changed since it was asked for. */
  #mayKeep({ name, lane, pass }: Wanted): boolean {
    const { views, negative } = this.#parts;
    return views.find(lane.view.uid) !== undefined && negative.isGood(name, pass);
  }

  #isOver(found: Found, nowMs: number): boolean {
    return typeof found === 'object' && this.#parts.inspector.expiresAt(found) <= nowMs;
  }

  #rowOf(record: Uint8Array): Row {
    return this.#parts.inspector.isTombstone(record) ? ROW.notFound : record;
  }
}

function defer(message: Message, asked: readonly Wanted[]): void {
  for (const { rows } of asked) for (const place of rows) message.rows[place] = ROW.deferred;
}
