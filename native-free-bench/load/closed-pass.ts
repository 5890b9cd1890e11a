/**
 * A closed loop in which no request comes twice: each connection takes the next one of them all when its last was
 * answered. For reads that must miss L1; `closed-loop.ts` begins anew with each round, with what L1 has by then.
 */
import { type Address, Connections } from './connections.js';
import type { LoadRequest } from './open-loop.js';

export interface ClosedPassPlan {
  readonly connections: number;
  readonly durationMs: number;
  readonly timeoutMs: number;
  readonly next: () => LoadRequest;
}

export interface ClosedPassOutcome {
  readonly responses: number;
  /** Responses other than 2xx, and requests without one. */
  readonly errors: number;
  readonly elapsedMs: number;
}

const TEND_MS = 50;

export async function closedPass(address: Address, plan: ClosedPassPlan): Promise<ClosedPassOutcome> {
  const transport = await Connections.open(address, plan.connections, plan.timeoutMs);
  const tending = setInterval(() => transport.tend(), TEND_MS);
  const startMs = performance.now();
  let responses = 0;
  let errors = 0;
  const ask = () =>
    new Promise<void>(resolve => {
      transport.send(plan.next(), answer => {
        if (typeof answer === 'string') errors++;
        else {
          responses++;
          if (answer.status >= 300) errors++;
        }
        resolve();
      });
    });
  const client = async () => {
    while (performance.now() - startMs < plan.durationMs && transport.free > 0) await ask();
  };
  try {
    await Promise.all(Array.from({ length: plan.connections }, client));
    return { responses, errors, elapsedMs: performance.now() - startMs };
  } finally {
    clearInterval(tending);
    transport.close();
  }
}
