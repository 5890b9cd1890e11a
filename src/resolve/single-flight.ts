/**
 * One question a key, however many ask: who asks while it is under way joins it.
 *
 * A flight is over when its promise settles; it is forgotten then, whether it was answered or failed, so that a failure
 * is not remembered. What tiers answer at once needs no flight. The number of flights that can be joined is bounded.
 */

export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();
  readonly #flightsMax: number;
  /** Asks that joined a flight instead of beginning one. */
  joined = 0;

  constructor(flightsMax: number) {
    this.#flightsMax = flightsMax;
  }

  get size(): number {
    return this.#flights.size;
  }

  /** The flight under way for the key. */
  join(key: string): Promise<T> | undefined {
    const flight = this.#flights.get(key);
    if (flight !== undefined) this.joined++;
    return flight;
  }

  /** Whether so many more may begin; to be asked before the question is sent. One message alone always may. */
  hasRoom(count: number): boolean {
    return this.#flights.size === 0 || this.#flights.size + count <= this.#flightsMax;
  }

  /** Nobody joins the key's flight any more: what it brings may be old. */
  forget(key: string): void {
    this.#flights.delete(key);
  }

  forgetAll(): void {
    this.#flights.clear();
  }

  begin(key: string, flight: Promise<T>): void {
    this.#flights.set(key, flight);
    const over = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.then(over, over);
  }
}
