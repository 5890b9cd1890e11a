/**
 * The open loop: requests start when the schedule says, however slow the answers are, and latency runs from the
 * intended start. A server that stalls for a second so shows in every request of that second, not in one: free of
 * coordinated omission (Gil Tene, "How NOT to Measure Latency").
 *
 *   schedule ── due ──► free connection? ── yes ──► send ──► response: now - due
 *                             │ no                   ▲
 *                             └──► waiting (bounded) ┘   full: dropped, counted as an error
 *
 * Time and the network are injected: the test runs hours of virtual time against a server that is a function.
 */
import type { ResponseHead } from './response-parser.js';
import type { Failure, Tally } from './tally.js';

export interface LoadRequest {
  /** Head and body as they go on the wire. */
  readonly bytes: Uint8Array;
  /** Reads count in the hit ratio. */
  readonly isRead: boolean;
}

export type Answered = (answer: ResponseHead | Failure) => void;

export interface Transport {
  /** Connections that can take a request now. */
  readonly free: number;
  /** Only while `free` > 0. `answered` is called exactly once, never before `send` returns. */
  send(request: LoadRequest, answered: Answered): void;
  /** Called every turn: gives up what is overdue, reopens what broke. */
  tend(): void;
  close(): void;
}

export interface Pace {
  /** Milliseconds, monotonic, with a fraction. */
  nowMs(): number;
  /** Lets others run; comes back at `untilMs` or earlier. */
  idle(untilMs: number): Promise<void>;
}

export interface OpenLoad {
  /** Offsets from the start in milliseconds, ascending. */
  readonly arrivals: Iterable<number>;
  readonly nextRequest: () => LoadRequest;
  readonly transport: Transport;
  readonly pace: Pace;
  readonly tally: Tally;
  /** Arrivals that may wait for a connection. */
  readonly waitingMax: number;
  /** How long after the last arrival answers are waited for. */
  readonly drainMs: number;
}

/** Arrivals started in a row, when late, before sockets get their turn. */
const BURST_MAX = 32;

/** Runs the load to its end. Closes the transport. Returns the milliseconds from the start to the last answer. */
export async function runOpenLoop(load: OpenLoad): Promise<number> {
  return new OpenLoop(load).run();
}

class OpenLoop {
  readonly #load: OpenLoad;
  readonly #waiting: DueQueue;
  #inFlight = 0;

  constructor(load: OpenLoad) {
    this.#load = load;
    this.#waiting = new DueQueue(load.waitingMax);
  }

  async run(): Promise<number> {
    const { pace, arrivals, drainMs, transport, tally } = this.#load;
    const startMs = pace.nowMs();
    let burst = 0;
    for (const offsetMs of arrivals) {
      const dueMs = startMs + offsetMs;
      while (pace.nowMs() < dueMs || burst >= BURST_MAX) {
        burst = 0;
        await this.#turn(dueMs);
      }
      burst += 1;
      this.#arrive(dueMs);
    }
    const endMs = pace.nowMs() + drainMs;
    while (this.#inFlight + this.#waiting.size > 0 && pace.nowMs() < endMs) await this.#turn(endMs);
    const elapsedMs = pace.nowMs() - startMs;
    tally.dropped += this.#waiting.size;
    this.#waiting.clear();
    transport.close();
    return elapsedMs;
  }

  async #turn(untilMs: number): Promise<void> {
    await this.#load.pace.idle(untilMs);
    this.#load.transport.tend();
    this.#sendWaiting();
  }

  #arrive(dueMs: number): void {
    const { tally, transport, pace } = this.#load;
    tally.arrivals += 1;
    tally.lag(pace.nowMs() - dueMs);
    if (this.#waiting.size === 0 && transport.free > 0) this.#send(dueMs);
    else if (!this.#waiting.push(dueMs)) tally.dropped += 1;
  }

  #sendWaiting(): void {
    while (this.#waiting.size > 0 && this.#load.transport.free > 0) this.#send(this.#waiting.shift());
  }

  #send(dueMs: number): void {
    const { transport, tally, pace, nextRequest } = this.#load;
    const request = nextRequest();
    this.#inFlight += 1;
    transport.send(request, answer => {
      this.#inFlight -= 1;
      const latencyMs = pace.nowMs() - dueMs;
      if (typeof answer === 'string') tally.failure(latencyMs, answer);
      else tally.response(latencyMs, answer, request.isRead);
      this.#sendWaiting();
    });
  }
}

/** Real time. Near the due time it spins over the event loop, since a timer would be up to a millisecond late. */
export const realPace: Pace = {
  nowMs: () => performance.now(),
  idle: untilMs =>
    new Promise(resolve => {
      const leftMs = untilMs - performance.now();
      if (leftMs > TIMER_SLACK_MS) setTimeout(resolve, Math.min(leftMs - TIMER_SLACK_MS, TEND_MS));
      else setImmediate(resolve);
    }),
};

const TIMER_SLACK_MS = 2;
/** The longest the transport goes untended. */
const TEND_MS = 20;

/** A bounded first-in first-out queue of times. */
class DueQueue {
  readonly #dues: Float64Array;
  #first = 0;
  size = 0;

  constructor(sizeMax: number) {
    this.#dues = new Float64Array(sizeMax);
  }

  push(dueMs: number): boolean {
    if (this.size === this.#dues.length) return false;
    this.#dues[(this.#first + this.size) % this.#dues.length] = dueMs;
    this.size += 1;
    return true;
  }

  shift(): number {
    const dueMs = this.#dues[this.#first] ?? 0;
    this.#first = (this.#first + 1) % this.#dues.length;
    this.size -= 1;
    return dueMs;
  }

  clear(): void {
    this.size = 0;
  }
}
