/**
 * A closed loop of clients: each sends its next request when its last was answered, and no request comes twice unless it
 * is given twice. For reads that must miss L1 (`closed-loop.ts` begins anew with each round, with what L1 has by then),
 * and for how long answers take when so many clients ask at once.
 *
 * Its latencies are from sending to the answer: a client that waits sends nothing meanwhile. For those of a given rate
 * see `open-loop.ts`.
 */
import { type Address, Connections } from './connections.js';
import type { LoadRequest } from './open-loop.js';
import { Tally } from './tally.js';

export interface ClosedPassPlan {
  /** Each with a connection of its own. */
  readonly clients: number;
  /** The pass ends when the time is over or each client has sent so many, whichever comes first. */
  readonly durationMs?: number;
  readonly requestsEach?: number;
  readonly timeoutMs: number;
  readonly next: () => LoadRequest;
}

export interface ClosedPassOutcome {
  readonly tally: Tally;
  readonly elapsedMs: number;
}

const TEND_MS = 50;

export async function closedPass(address: Address, plan: ClosedPassPlan): Promise<ClosedPassOutcome> {
  const { clients, durationMs = Number.POSITIVE_INFINITY, requestsEach = Number.POSITIVE_INFINITY } = plan;
  const transport = await Connections.open(address, clients, plan.timeoutMs);
  const tending = setInterval(() => transport.tend(), TEND_MS);
  const tally = new Tally();
  const startMs = performance.now();
  const ask = () =>
    new Promise<void>(resolve => {
      const request = plan.next();
      const sentMs = performance.now();
      tally.arrivals += 1;
      transport.send(request, answer => {
        const tookMs = performance.now() - sentMs;
        if (typeof answer === 'string') tally.failure(tookMs, answer);
        else tally.response(tookMs, answer, request.isRead);
        resolve();
      });
    });
  const client = async () => {
    for (let sent = 0; sent < requestsEach; sent++) {
      if (performance.now() - startMs >= durationMs || transport.free === 0) return;
      await ask();
    }
  };
  try {
    await Promise.all(Array.from({ length: clients }, client));
    return { tally, elapsedMs: performance.now() - startMs };
  } finally {
    clearInterval(tending);
    transport.close();
  }
}
