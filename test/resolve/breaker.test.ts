import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import {
  Breaker,
  type BreakerChange,
  breakerMemory,
  REFUSED,
  type Ticket,
} from '../../src/resolve/breaker.js';
import type { BreakerReport, BreakerWork } from './breaker-worker.js';

const OPTIONS = { failuresMax: 3, halfOpenAfterMs: 30_000, probeMsMax: 5_000 };

/** Lanes that share one breaker, in one thread. */
function lanes(count: number, index = 0, memory = breakerMemory(index + 1)) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const onChange = ({ tier, from, to }: BreakerChange) => changes.push(`${tier}: ${from} → ${to}`);
  const breakers = Array.from(
    { length: count },
    () => new Breaker({ tier: 'redis', memory, index, clock, options: OPTIONS, onChange }),
  );
  return { clock, changes, breakers, memory };
}

function failTimes(breaker: Breaker, times: number): void {
  for (let n = 0; n < times; n++) breaker.fail(breaker.admit());
}

describe('the breaker', () => {
  it('opens after so many failures in a row, whichever lanes they were in, and is told of once', () => {
    const { breakers, changes } = lanes(3);
    const [a, b, c] = breakers as [Breaker, Breaker, Breaker];
    failTimes(a, 2);
    b.succeed(b.admit());
    failTimes(a, 1);
    failTimes(b, 1);
    expect([a.state, changes]).toEqual(['closed', []]);
    failTimes(c, 1);
    expect(breakers.map(breaker => breaker.state)).toEqual(['open', 'open', 'open']);
    expect(breakers.map(breaker => breaker.admit())).toEqual([REFUSED, REFUSED, REFUSED]);
    expect(changes).toEqual(['redis: closed → open']);
    expect(a.changes).toBe(1);
  });

  it('lets one call of all lanes through after a while, and closes when it is answered', () => {
    const { breakers, changes, clock } = lanes(3);
    const [a, b, c] = breakers as [Breaker, Breaker, Breaker];
    failTimes(a, 3);
    clock.advance(29_999);
    expect(b.admit()).toBe(REFUSED);
    clock.advance(1);
    const probe = b.admit();
    expect(probe).not.toBe(REFUSED);
    expect([a.admit(), b.admit(), c.admit()]).toEqual([REFUSED, REFUSED, REFUSED]);
    b.succeed(probe);
    expect([a.state, b.admit(), c.admit()]).not.toContain(REFUSED);
    expect(changes).toEqual(['redis: closed → open', 'redis: open → half-open', 'redis: half-open → closed']);
    // The count begins anew.
    failTimes(c, 2);
    expect(a.state).toBe('closed');
  });

  it('opens again when the probe fails, for as long as before', () => {
    const { breakers, changes, clock } = lanes(2);
    const [a, b] = breakers as [Breaker, Breaker];
    failTimes(a, 3);
    clock.advance(30_000);
    a.fail(a.admit());
    expect([b.state, b.admit()]).toEqual(['open', REFUSED]);
    clock.advance(30_000);
    expect(b.admit()).not.toBe(REFUSED);
    expect(changes.slice(2)).toEqual(['redis: half-open → open', 'redis: open → half-open']);
  });

  it('gives a lost probe to the next caller, and does not hear the one that was lost', () => {
    const { breakers, changes, clock } = lanes(2);
    const [a, b] = breakers as [Breaker, Breaker];
    failTimes(a, 3);
    clock.advance(30_000);
    const lost = a.admit();
    clock.advance(4_999);
    expect(b.admit()).toBe(REFUSED);
    clock.advance(1);
    const taken = b.admit();
    expect(taken).not.toBe(REFUSED);
    a.succeed(lost);
    expect(b.state).toBe('half-open');
    a.fail(lost);
    expect(b.state).toBe('half-open');
    b.succeed(taken);
    expect(a.state).toBe('closed');
    // Handing on is no change.
    expect(changes.length).toBe(3);
  });

  it('does not hear calls from before a change', () => {
    const { breakers, clock } = lanes(1);
    const [a] = breakers as [Breaker];
    const early = [a.admit(), a.admit(), a.admit(), a.admit()];
    failTimes(a, 3);
    clock.advance(30_000);
    a.succeed(a.admit());
    for (const ticket of early) a.fail(ticket);
    expect(a.state).toBe('closed');
    failTimes(a, 2);
    expect(a.state).toBe('closed');
    // Nor does a success from then reset what is counted now.
    a.succeed(early[0] as Ticket);
    failTimes(a, 1);
    expect(a.state).toBe('open');
  });

  it('takes a refusal for a sign of life, not for health', () => {
    const { breakers, clock } = lanes(1);
    const [a] = breakers as [Breaker];
    failTimes(a, 2);
    a.refuse(a.admit());
    failTimes(a, 1);
    expect(a.state).toBe('open');
    clock.advance(30_000);
    a.refuse(a.admit());
    expect(a.state).toBe('closed');
  });

  it('waits neither for ever nor in vain when the clock is set', () => {
    const { breakers, clock } = lanes(1);
    const [a] = breakers as [Breaker];
    failTimes(a, 3);
    clock.advance(-1);
    expect(a.admit()).toBe(REFUSED);
    clock.advance(-3_600_000);
    expect(a.admit()).not.toBe(REFUSED);
  });

  it('keeps apart tiers that share the memory', () => {
    const memory = breakerMemory(2);
    const [first] = lanes(1, 0, memory).breakers as [Breaker];
    const [second] = lanes(1, 1, memory).breakers as [Breaker];
    failTimes(first, 3);
    expect([first.state, second.state]).toEqual(['open', 'closed']);
  });

  it('does what a plain state machine would, whatever the lanes do', () => {
    const step = fc.record({
      lane: fc.nat(2),
      act: fc.constantFrom('ask', 'succeed', 'fail', 'refuse', 'die', 'pass'),
      ms: fc.constantFrom(1, 100, 4_999, 5_000, 29_999, 30_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const { breakers, clock, changes } = lanes(3);
        const model = new Model();
        const held: [Ticket, number][][] = [[], [], []];
        for (const { lane, act, ms } of steps) {
          const breaker = breakers[lane] as Breaker;
          const mine = held[lane] as [Ticket, number][];
          if (act === 'pass') {
            clock.advance(ms);
          } else if (act === 'ask') {
            const ticket = breaker.admit();
            const period = model.admit(clock.now());
            expect(ticket !== REFUSED).toBe(period !== undefined);
            if (period !== undefined) mine.push([ticket, period]);
          } else if (act === 'die') {
            mine.length = 0;
          } else {
            const [ticket, period] = mine.shift() ?? [];
            if (ticket === undefined || period === undefined) continue;
            breaker[act](ticket);
            model[act](period, clock.now());
          }
          expect(breakers.map(({ state }) => state)).toEqual([model.state, model.state, model.state]);
          expect(changes.length).toBe(model.changes);
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** The same, said plainly: periods have numbers, and a result counts in its own period only. */
class Model {
  state: 'closed' | 'open' | 'half-open' = 'closed';
  changes = 0;
  #period = 0;
  #sinceMs = 0;
  #failures = 0;

  admit(nowMs: number): number | undefined {
    if (this.state === 'closed') return this.#period;
    const waitMs = this.state === 'open' ? OPTIONS.halfOpenAfterMs : OPTIONS.probeMsMax;
    if (nowMs - this.#sinceMs < waitMs) return undefined;
    this.#become('half-open', nowMs);
    return this.#period;
  }

  succeed(period: number, nowMs: number): void {
    if (period !== this.#period) return;
    this.#failures = 0;
    if (this.state === 'half-open') this.#become('closed', nowMs);
  }

  refuse(period: number, nowMs: number): void {
    if (this.state === 'half-open') this.succeed(period, nowMs);
  }

  fail(period: number, nowMs: number): void {
    if (period !== this.#period) return;
    if (this.state === 'closed' && ++this.#failures < OPTIONS.failuresMax) return;
    this.#become('open', nowMs);
  }

  #become(state: Model['state'], nowMs: number): void {
    if (state !== this.state) this.changes++;
    this.state = state;
    this.#period++;
    this.#sinceMs = nowMs;
  }
}

describe('the breaker of two threads', () => {
  it('opens in both, sends one probe, and tells of each change once', async () => {
    const rounds = 300;
    const memory = breakerMemory(1);
    const gates = new Int32Array(new SharedArrayBuffer(3 * 4));
    const options = { ...OPTIONS, failuresMax: 2 };
    const workers = [0, 1].map(lane => {
      const workerData: BreakerWork = { memory, gates, lane, lanes: 2, rounds, options };
      return new Worker(new URL('./breaker-worker.js', import.meta.url), { workerData });
    });
    try {
      const reports = await Promise.all(
        workers.map(async worker => (await once(worker, 'message'))[0] as BreakerReport),
      );
      const rows = Array.from({ length: rounds }, (_, round) => reports.map(report => report.rounds[round]));
      for (const [first, second] of rows) {
        expect([first?.opened, second?.opened]).toEqual(['open', 'open']);
        expect(Number(first?.probed) + Number(second?.probed)).toBe(1);
        expect([first?.ended, second?.ended]).toEqual([first?.ended, first?.ended]);
      }
      // Rounds end in turn with a good probe, a failed one, and one whose lane forgets it.
      expect(new Set(rows.map(([first]) => first?.ended))).toEqual(new Set(['closed', 'open', 'half-open']));
      const { changes } = new Breaker({ tier: 'redis', memory, index: 0, clock: new ManualClock() });
      expect(reports.reduce((sum, report) => sum + report.told, 0)).toBe(changes);
    } finally {
      await Promise.all(workers.map(worker => worker.terminate()));
    }
  });
});
