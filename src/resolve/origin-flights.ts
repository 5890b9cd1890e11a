/**
 * Questions to origins that are under way, one a key: who asks meanwhile joins.
 *
 * A change of the key makes its flight void, which is exact and costs nobody else: what the flight brings is answered to
 * those who wait for it, since they asked before the change, and is not kept; who asks after the change begins another.
 */
import type { Clock } from '../base/clock.js';
import { keyName } from './coherence.js';

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

  constructor(beganMs: number, ask: (flight: OriginFlight<T>) => Promise<T>) {
    this.beganMs = beganMs;
    // In a turn of its own, when the flight is what it is.
    this.answer = Promise.resolve().then(() => ask(this));
  }
}

export class OriginFlights<T> {
  readonly #flights = new Map<string, OriginFlight<T>>();
  /** Those that nobody joins. */
  #alone = 0;
  readonly #flightsMax: number;
  readonly #clock: Clock;

  constructor(flightsMax: number, clock: Clock) {
    this.#flightsMax = flightsMax;
    this.#clock = clock;
  }

  get isFull(): boolean {
    return this.#flights.size + this.#alone >= this.#flightsMax;
  }

  join(viewUid: number, id: string): OriginFlight<T> | undefined {
    return this.#flights.get(keyName(viewUid, id));
  }

  /** @param ask must not reject. */
  begin(viewUid: number, id: string, ask: (flight: OriginFlight<T>) => Promise<T>): OriginFlight<T> {
    const name = keyName(viewUid, id);
    const flight = new OriginFlight(this.#clock.now(), ask);
    this.#flights.set(name, flight);
    void flight.answer.then(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    });
    return flight;
  }

  /** One that nobody joins, nor makes void: what it brings is not kept. */
  beginAlone(ask: (flight: OriginFlight<T>) => Promise<T>): OriginFlight<T> {
    const flight = new OriginFlight(this.#clock.now(), ask);
    this.#alone++;
    void flight.answer.then(() => {
      this.#alone--;
    });
    return flight;
  }

  /** The key was changed, here or elsewhere. */
  forget(name: string): void {
    const flight = this.#flights.get(name);
    if (flight === undefined) return;
    flight.isVoid = true;
    this.#flights.delete(name);
  }

  /** Any key may have been, or any of a view. */
  forgetAll(viewUid?: number): void {
    const prefix = viewUid === undefined ? '' : keyName(viewUid, '');
    for (const name of this.#flights.keys()) if (name.startsWith(prefix)) this.forget(name);
  }
}
