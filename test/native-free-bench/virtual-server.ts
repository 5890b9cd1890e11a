/**
 * A server and its time that exist in numbers only: it serves one request after the other, each for `serviceMs`, and
 * does nothing at all between `stallFromMs` and `stallToMs`. Virtual time jumps from event to event.
 */
import type { Answered, LoadRequest, Pace, Transport } from '../../native-free-bench/load/open-loop.js';

const HEAD = { status: 200, bodyBytes: 0, cacheStatus: '', serverTiming: '', closes: false } as const;

export interface Behaviour {
  readonly connections: number;
  readonly serviceMs: number;
  readonly stallFromMs: number;
  readonly stallToMs: number;
}

export class VirtualServer implements Transport, Pace {
  readonly #behaviour: Behaviour;
  readonly #events: { readonly atMs: number; readonly answered: Answered }[] = [];
  #nowMs = 0;
  #finishMs = 0;
  free: number;
  closed = false;

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour;
    this.free = behaviour.connections;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  async idle(untilMs: number): Promise<void> {
    const next = this.#events[0];
    if (next === undefined || next.atMs > untilMs) {
      this.#nowMs = Math.max(this.#nowMs, untilMs);
      return;
    }
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    this.#events.shift();
    this.free += 1;
    next.answered(HEAD);
  }

  send(_request: LoadRequest, answered: Answered): void {
    this.free -= 1;
    this.#finishMs = finishOf(this.#behaviour, this.#nowMs, this.#finishMs);
    this.#events.push({ atMs: this.#finishMs, answered });
  }

  tend(): void {}

  close(): void {
    this.closed = true;
  }
}

/** What every request's latency must be, from the intended start: Lindley's recursion. */
export function expectedLatencies(behaviour: Behaviour, dues: readonly number[]): number[] {
  let finishMs = 0;
  return dues.map(dueMs => {
    finishMs = finishOf(behaviour, dueMs, finishMs);
    return finishMs - dueMs;
  });
}

function finishOf(
  { serviceMs, stallFromMs, stallToMs }: Behaviour,
  atMs: number,
  previousMs: number,
): number {
  const startMs = Math.max(atMs, previousMs);
  const stalled = startMs >= stallFromMs && startMs < stallToMs;
  return (stalled ? stallToMs : startMs) + serviceMs;
}
