/**
 * What a write must have reached before it is acknowledged, beyond the memory of the master.
 *
 * WAIT and WAITAOF hold up the connection they are sent on until the replicas have caught up, so reads should have one
 * of their own. They speak for all that the server had carried out by then, so a write that was refused because a
 * newer one is held waits for that one too. A write redirected by ASK, while its slot moves, is waited for at the
 * slot's old master: for that time the promise is the cluster's own, which is none.
 */
import type { Redis } from 'ioredis';
import { assert } from '../base/assert.js';
import { redisUnavailable } from './redis-error.js';

export interface RedisDurability {
  /** Replicas that must have the write. */
  readonly replicas: number;
  /** Also on disk: the master's append-only file, and that of so many replicas. Needs Redis 7.2 and appendonly. */
  readonly aof: boolean;
  readonly timeoutMs: number;
}

/** @throws AssertionError when the wait could outlive the command. */
export function checkDurability({ replicas, timeoutMs }: RedisDurability, commandTimeoutMs: number): void {
  assert(Number.isInteger(replicas) && replicas >= 0, 'a number of replicas is a whole number');
  assert(timeoutMs > 0, 'Redis takes a timeout of 0 for none');
  assert(timeoutMs < commandTimeoutMs, 'the timeout of a wait is below that of commands');
}

/** Resolves when what was written through these connections is durable. @throws HeadraceError `unavailable`. */
export async function confirmDurable(nodes: Iterable<Redis>, durability: RedisDurability): Promise<void> {
  const { replicas, aof, timeoutMs } = durability;
  const waits = Array.from(nodes, async node => {
    const [onDisk, reached] = aof
      ? ((await node.call('WAITAOF', 1, replicas, timeoutMs)) as [number, number])
      : [1, await node.wait(replicas, timeoutMs)];
    if (onDisk >= 1 && reached >= replicas) return;
    const where = onDisk < 1 ? 'the memory of the master' : `${reached} of ${replicas} replicas`;
    throw redisUnavailable(`the write reached only ${where} within ${timeoutMs} ms; it may yet be applied`);
  });
  await Promise.all(waits);
}
