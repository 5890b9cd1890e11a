/** Reads of an entry that memory does not have, while it changes under them. */
import { expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import type { Problem } from '../../src/base/errors.js';
import { CACHE_STANDARD } from '../../src/caches/definition.js';
import { LeaseRoom } from '../../src/caches/lease-room.js';
import { LeaseTable } from '../../src/caches/lease-table.js';
import {
  type Asked,
  EntryMisses,
  type EntryMissesOptions,
  LEASE_HEADER,
} from '../../src/front/entry-misses.js';
import type { Exchange, Headers } from '../../src/front/front.js';
import { TIMING_OFF } from '../../src/front/server-timing.js';
import { ManualTimers } from '../caches/manual-timers.js';

const ID = 'key';
const ASKED: Asked = {
  cache: { ...CACHE_STANDARD, name: 'c' },
  ...{ key: ID, id: ID, form: undefined, ifNoneMatch: '', waitMs: 0, timing: TIMING_OFF },
};
const UNUSED = {
  probe: () => undefined,
  fetch: async () => undefined,
  lackOf: () => undefined,
  askOrigin: () => undefined,
  serve: () => undefined,
  serveDue: () => undefined,
  lease: undefined,
  answerError: (_: Exchange, error: unknown) => {
    throw error;
  },
} satisfies Partial<EntryMissesOptions>;

/** An entry that is deleted so often just when it is looked for; `read` is answered with the headers of its 404. */
function deletedWhileRead(times: number) {
  const { clock, later } = new ManualTimers();
  const room = new LeaseRoom({ leasesMax: 10, waitersMax: 10, clock });
  const leases = new LeaseTable({ clock, leaseMs: 1_000, room, later });
  let looks = 0;
  const misses = new EntryMisses({
    ...UNUSED,
    leasesOf: () => leases,
    fetch: async () => {
      if (looks++ < times) leases.void(ID);
      return undefined;
    },
    now: () => clock.now(),
  });
  const read = () =>
    new Promise<readonly [Problem, Headers]>(resolve => {
      const exchange = {
        method: 'GET',
        aborted: false,
        later: () => exchange,
        fail: (problem: Problem, headers: Headers = []) => resolve([problem, headers]),
      } as unknown as Exchange;
      misses.answer(exchange, ASKED, undefined);
    });
  return { read, leases, looks: () => looks };
}

it('fails by a bug in the answer alone, when a lease is asked for in the store', async () => {
  const bug = new Error('a bug');
  const failed = new Promise(resolve => {
    const { clock, later } = new ManualTimers();
    const room = new LeaseRoom({ leasesMax: 10, waitersMax: 10, clock });
    const misses = new EntryMisses({
      ...UNUSED,
      leasesOf: () => new LeaseTable({ clock, leaseMs: 1_000, room, later }),
      lease: async () => ({ token: 'token', untilMs: 1_000 }),
      serveDue: () => {
        throw bug;
      },
      answerError: (_, error) => resolve(error),
      now: () => clock.now(),
    });
    const exchange = { method: 'GET', later: () => exchange } as unknown as Exchange;
    misses.refresh(exchange, ASKED, { record: new Uint8Array(1), source: 'L1' }, 1 as Version);
  });
  expect(await failed).toBe(bug);
});

it('gets the lease though the entry was deleted while it was looked for', async () => {
  const { read, leases, looks } = deletedWhileRead(3);
  const [problem, headers] = await read();
  expect([problem.status, headers[0], looks(), leases.held]).toEqual([404, LEASE_HEADER, 4, 1]);
});

it('is told that there is none, when that goes on and on', async () => {
  const { read, leases, looks } = deletedWhileRead(Number.POSITIVE_INFINITY);
  const [problem, headers] = await read();
  expect([problem.status, headers.includes(LEASE_HEADER), leases.held]).toEqual([404, false, 0]);
  expect(looks()).toBeLessThan(10);
});
