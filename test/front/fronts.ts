/** Both fronts, for the one table of cases that holds them to the contract. */
import { afterEach } from 'vitest';
import type { Front, FrontLimits, Handler } from '../../src/front/front.js';
import { openFront } from '../../src/front/open-front.js';
import { RawClient } from './raw-client.js';

export const FRONTS = ['uws', 'node'] as const;

export const LIMITS: FrontLimits = {
  headerBytesMax: 8192,
  pathBytesMax: 2048,
  idleTimeoutMs: 10_000,
  connectionsMax: 10_000,
};

export interface Started {
  readonly front: Front;
  readonly errors: unknown[];
  client(): Promise<RawClient>;
}

const started: Front[] = [];
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const front of started.splice(0)) await front.close();
});

/** A front and its clients, closed after the test. */
export async function start(
  kind: (typeof FRONTS)[number],
  handler: Handler,
  limits: Partial<FrontLimits> = {},
  host = '127.0.0.1',
): Promise<Started> {
  const errors: unknown[] = [];
  const options = { host, port: 0, limits: { ...LIMITS, ...limits }, handler };
  const front = await openFront(kind, { ...options, onError: error => errors.push(error) }, () => {});
  started.push(front);
  const client = async () => {
    const made = await RawClient.connect(front.port, host);
    clients.push(made);
    return made;
  };
  return { front, errors, client };
}

/** Lets the event loop turn until the condition holds; a test that waits in vain runs into its time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}
