/**
 * Questions to origins that are under way, one a key: who asks meanwhile joins.
 *
 * A change of the key makes its flight void, which is exact and costs nobody else: what the flight brings is answered to
 * those who wait for it, since they asked before the change, and is not kept; who asks after the change begins another.
 *
 * Bounded for each cache by itself, so that an origin that hangs keeps no other from being asked.
 */
import type { Clock } from '../base/clock.js';
import { keyName } from './coherence.js';
import type { OriginLease } from './origin-leases.js';

export class OriginFlight<T> {
  /** Never rejects. */
  readonly answer: Promise<T>;
  readonly beganMs: number;
  /** What is held of the key, and is to be replaced. */
  held: Uint8Array | undefined;
  /** The same where it is only old: it may be answered while the origin fails. */
  old: Uint8Array | undefined;
  /** The key was changed since the question began. */
  isVoid = false;
  /** The right to ask the origin, where servers share it. */
  lease: OriginLease | undefined;
  /** Resolves when it is known what is held. */
  readonly looked: Promise<undefined>;
  /** It is. */
  endLook: () => void = () => {};

  constructor(beganMs: number, ask: (flight: OriginFlight<T>) => Promise<T>) {
    this.beganMs = beganMs;
    this.looked = new Promise(resolve => {
      this.endLook = () => resolve(undefined);
    });
    // In a turn of its own, when the flight is what it is.
    this.answer = Promise.resolve().then(() => ask(this));
  }
}

export class OriginFlights<T> {
  readonly #flights = new Map<string, OriginFlight<T>>();
  /** By view, all that have not ended, also those that nobody joins any more. */
  readonly #underWay = new Map<number, number>();
  readonly #flightsMax: number;
  readonly #clock: Clock;

  /** @param caches that have an origin, and an equal share each. */
  constructor(flightsMax: number, clock: Clock, caches = 1) {
    this.#flightsMax = Math.ceil(flightsMax / Math.max(1, caches));
    this.#clock = clock;
  }

  isFull(viewUid: number): boolean {
    return (this.#underWay.get(viewUid) ?? 0) >= this.#flightsMax;
  }

  join(viewUid: number, id: string): OriginFlight<T> | undefined {
    return this.#flights.get(keyName(viewUid, id));
  }

  /** @param ask must not reject. */
  begin(viewUid: number, id: string, ask: (flight: OriginFlight<T>) => Promise<T>): OriginFlight<T> {
    const name = keyName(viewUid, id);
    const flight = this.beginAlone(viewUid, ask);
    this.#flights.set(name, flight);
    void flight.answer.then(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    });
    return flight;
  }

  /** One that nobody joins, nor makes void: what it brings is not kept. */
  beginAlone(viewUid: number, ask: (flight: OriginFlight<T>) => Promise<T>): OriginFlight<T> {
    const flight = new OriginFlight(this.#clock.now(), ask);
    this.#count(viewUid, 1);
    void flight.answer.then(() => this.#count(viewUid, -1));
    return flight;
  }

  #count(viewUid: number, change: 1 | -1): void {
    const count = (this.#underWay.get(viewUid) ?? 0) + change;
    if (count === 0) this.#underWay.delete(viewUid);
    else this.#underWay.set(viewUid, count);
  }

  /** The key was changed, here or elsewhere. Of what is erased the fence has told: who asks since then knows of it. */
  forget(name: string, isErased = false): void {
    const flight = this.#flights.get(name);
    if (flight === undefined || isErased) return;
    flight.isVoid = true;
    this.#flights.delete(name);
  }

  /** Any key may have been, or any of a view. */
  forgetAll(viewUid?: number): void {
    const prefix = viewUid === undefined ? '' : keyName(viewUid, '');
    for (const name of this.#flights.keys()) if (name.startsWith(prefix)) this.forget(name);
  }
}
