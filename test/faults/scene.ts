/**
 * One fault under load, from calm to recovery:
 *
 *   calm ──► begin ──► fault, for a while ──► end ──► recovering, until all is well ──► after ──► everything read again
 *
 * Whatever the fault: the server lives; each answer is correct or honest, and in time; the breaker of what failed opens
 * and closes; after the recovery no answer fails, and all that was acknowledged is there.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { FULL } from '../base/seeded.js';
import { ApiClient } from '../server/api-client.js';
import { type ServerOptions, type ServerProcess, startServerProcess } from '../server/server-process.js';
import type { ProxyMode, RedisProxy } from '../support/redis-proxy.js';
import { eventually } from '../support/redis-server.js';
import { type Kind, type LoadOptions, SteadyLoad } from './steady-load.js';

const CALM_MS = 1_500;
export const FAULT_MS = FULL ? 10_000 : 3_000;
const DEADLINE_MS = 500;
/** What a busy machine may add to the deadline. */
const MARGIN_MS = 1_500;
const LANES = 2;
/** From the fault's begin to the breaker's opening: the product's promise, and nothing added for a busy machine. */
export const OPEN_MS_MAX = 1_000;
/** The breaker closes again within 35 s where it opens for 30; here it opens for 0.2. */
const RECOVERY_MS_MAX = 15_000;
const GOOD_IN_A_ROW = 40;

/** The timeouts of reads are the defaults, from which it follows how soon a breaker opens. */
const ENV = {
  HEADRACE_LANES: String(LANES),
  HEADRACE_DEADLINE: `${DEADLINE_MS}ms`,
  HEADRACE_STORE_TIMEOUT: '1s',
  HEADRACE_BREAKER_HALF_OPEN: '200ms',
};

export const IDS: LoadOptions['ids'] = { hot: 50, other: 100, write: 50 };

export interface Fault {
  begin(signal: (name: NodeJS.Signals) => void): unknown;
  end(): unknown;
}

export interface Scene {
  readonly name: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly server?: ServerOptions;
  readonly ids?: LoadOptions['ids'];
  readonly fault: Fault;
  /** Kinds of requests that the fault does not touch: none of them fails, and what is in L1 is read from there. */
  readonly unhurt?: readonly Kind[];
  /** Ids of which the store tells that they have changed: L1 gives them up. Known once the fault has begun. */
  readonly told?: ReadonlySet<string>;
  /** Kinds of requests that the fault must make fail, or it was none. */
  readonly hurt?: readonly Kind[];
  /** Whose breaker opens. */
  readonly breaker?: 'redis' | 'mongodb';
  /** What cannot be held against the server. `mayLose`: the store of record comes back without its data. */
  readonly leave?: Pick<LoadOptions, 'mayLose' | 'mayRegress' | 'mayMislead'>;
}

export async function play(scene: Scene): Promise<void> {
  const { server: options, env = {}, fault, leave = {} } = scene;
  const server = await startServerProcess({ ...options, env: { ...ENV, ...env, ...options?.env } });
  const api = new ApiClient(server.port);
  const load = new SteadyLoad({
    api,
    limitMs: DEADLINE_MS + MARGIN_MS,
    ids: scene.ids ?? IDS,
    ...leave,
  });
  try {
    await eventually(() => load.prepare().then(() => true), 'all is written');
    if (env['HEADRACE_REDIS_URL'] !== undefined) {
      await eventually(() => tellings(server) >= LANES, 'both lanes are told of changes');
    }
    await load.warm();
    load.begin();
    await eventually(() => load.isWell(GOOD_IN_A_ROW), 'the load runs');
    load.enter('calm');
    await pause(CALM_MS);
    load.enter('fault');
    const begunMs = Date.now();
    await fault.begin(name => server.signal(name));
    await pause(FAULT_MS);
    await fault.end();
    load.enter('recovering');
    const endedMs = Date.now();
    if (leave.mayLose) {
      await load.stop();
      await eventually(() => load.isForgotten(), 'the server knows that its views are gone', RECOVERY_MS_MAX);
      await eventually(() => load.prepare().then(() => true), 'all is written again', RECOVERY_MS_MAX);
      load.begin();
    }
    await eventually(
      () => load.isWell(GOOD_IN_A_ROW) && breakerChanges(server, scene.breaker).at(-1)?.to !== 'open',
      'all is well again',
      RECOVERY_MS_MAX,
    );
    const recoveryMs = Date.now() - endedMs;
    load.enter('after');
    await pause(CALM_MS);
    await load.stop();
    await load.checkAll();
    const times = { begunMs, endedMs, recoveryMs, breaker: breakerChanges(server, scene.breaker) };
    report(scene, load, times);
    judge(scene, load, server, times);
  } catch (error) {
    const log = server.log.slice(-15).map(line => JSON.stringify(line));
    const told = [...load.faults.slice(0, 5), ...log, server.errorOutput.slice(-2_000)].join('\n');
    throw new Error(`${scene.name}: ${error instanceof Error ? error.message : error}\n${told}`, {
      cause: error,
    });
  } finally {
    await load.stop();
    api.close();
    await server.stop();
  }
}

export function networkFault(proxy: RedisProxy, mode: ProxyMode): Fault {
  return {
    begin: () => {
      proxy.mode = mode;
    },
    end: () => {
      proxy.mode = 'pass';
    },
  };
}

function judge(scene: Scene, load: SteadyLoad, server: ServerProcess, times: Times): void {
  expect(server.running).toBe(true);
  expect(server.errorOutput).toBe('');
  expect(load.faults).toEqual([]);
  expect(load.late).toEqual([]);
  for (const kind of scene.unhurt ?? []) {
    const { ok, unavailable, lost } = load.tally('fault', kind);
    expect({ kind, unavailable, lost }).toEqual({ kind, unavailable: 0, lost: 0 });
    expect(ok, `${kind} goes on`).toBeGreaterThan(0);
  }
  if (scene.unhurt?.includes('hot')) {
    const { ok, fromL1, fromBelow } = load.tally('fault', 'hot');
    const untold = fromBelow.filter(id => !scene.told?.has(id));
    expect(untold, 'every key in L1 is read from there').toEqual([]);
    expect(fromL1 + fromBelow.length).toBe(ok);
  }
  for (const kind of scene.hurt ?? []) {
    const { unavailable, lost } = load.tally('fault', kind);
    expect(unavailable + lost, `${kind} is hurt`).toBeGreaterThan(0);
  }
  for (const kind of ['hot', 'other', 'write'] as const) {
    expect(load.tally('after', kind).ok, `${kind} after the recovery`).toBeGreaterThan(0);
  }
  if (scene.breaker === undefined) return;
  const [opened] = times.breaker;
  expect(opened?.to).toBe('open');
  expect(opened?.atMs, 'the breaker opens because of the fault').toBeGreaterThanOrEqual(times.begunMs);
  expect((opened?.atMs ?? 0) - times.begunMs, 'the breaker opens in time').toBeLessThanOrEqual(OPEN_MS_MAX);
  expect(times.breaker.at(-1)?.to).toBe('closed');
}

export interface BreakerChange {
  readonly to: string;
  readonly atMs: number;
}

/** What a tier's breaker became, in order; without a tier, any breaker. */
export function breakerChanges({ log }: ServerProcess, tier: Scene['breaker']): BreakerChange[] {
  const form = new RegExp(`^the circuit breaker of ${tier ?? '[a-z]+'} was [a-z-]+ and is ([a-z-]+)$`);
  return log.flatMap(({ msg, time }) => {
    const to = form.exec(String(msg))?.[1];
    return to === undefined ? [] : [{ to, atMs: Number(time) }];
  });
}

/** How many lanes have said that Redis tells them of changes. */
function tellings({ log }: ServerProcess): number {
  return log.filter(({ msg }) => msg === 'redis tells of changes').length;
}

interface Times {
  readonly begunMs: number;
  readonly endedMs: number;
  /** After the end. */
  readonly recoveryMs: number;
  readonly breaker: readonly BreakerChange[];
}

function report({ name }: Scene, load: SteadyLoad, times: Times): void {
  const hot = load.tally('fault', 'hot');
  const [calm, fault] = ['calm', 'fault'].map(phase => load.tally(phase, 'hot').p95Ms()) as [number, number];
  const counts = (['other', 'write'] as const).map(kind => {
    const { ok, unavailable, lost } = load.tally('fault', kind);
    return `${kind} ${ok} good, ${unavailable} unavailable${lost === 0 ? '' : `, ${lost} gone`}`;
  });
  const parts = [
    `L1 keys ${hot.unavailable + hot.lost} errors of ${hot.ok + hot.unavailable + hot.lost} (${hot.fromL1} from L1)`,
    `P95 calm ${calm.toFixed(2)} ms, fault ${fault.toFixed(2)} ms, ratio ${(fault / calm).toFixed(2)}`,
    ...counts,
    ...(load.regressed === 0 ? [] : [`${load.regressed} values taken back`]),
    breakerTimes(times),
    `well ${times.recoveryMs} ms after it`,
  ];
  console.log(`${name}: ${parts.join('; ')}`);
}

/** When it first opened after the fault's begin, and closed for good after the fault's end. */
function breakerTimes({ breaker, begunMs, endedMs }: Times): string {
  const opened = breaker.find(({ to }) => to === 'open');
  const closed = breaker.findLast(({ to }) => to === 'closed');
  if (opened === undefined) return 'breaker never open';
  const closing = closed === undefined ? '' : `, closed ${closed.atMs - endedMs} ms after the end`;
  return `breaker open after ${opened.atMs - begunMs} ms${closing}`;
}
