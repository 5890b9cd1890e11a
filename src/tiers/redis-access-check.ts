/**
 * Tries what headrace does on Redis in a way that changes nothing: reads what is not there, sets only what exists,
 * runs a script without keys, tracks keys for a moment. What the ACL forbids, and what keeps the server from taking
 * writes (no memory, no disk, too few replicas), is met as headrace would meet it.
 */
import type { Redis } from 'ioredis';
import type { RedisConnection } from './redis-connection.js';
import { redisError } from './redis-error.js';
import { RedisKeys } from './redis-keys.js';
import type { RedisNodeFacts } from './redis-node-check.js';
import { RedisScript } from './redis-script.js';
import { ok, problem, type Verdict } from './tier-check.js';

const CHANNEL = '__redis__:invalidate';
/** In a cluster each key asks one master; so many miss none of three but once in 100,000 times. */
const KEYS = 32;
const SCRIPT = new RedisScript('return 1');

/** What the ACL user of headrace needs. */
export function aclFor(prefix: string): string {
  const commands =
    '+@read +@write +@scripting +@connection +@pubsub +info +config|get +cluster|slots +cluster|nodes +cluster|info';
  return `ACL SETUSER <user> ~${prefix}* &${CHANNEL} ${commands}`;
}

/** On every master, through the client that knows the way to each. */
export async function tryCommands(connection: RedisConnection): Promise<Verdict> {
  const { prefix, catalog } = new RedisKeys(connection.target.parameters.prefix);
  const { client } = connection;
  const keys = Array.from({ length: KEYS }, (_, n) => `${prefix}doctor-${n}`);
  const attempts: Readonly<Record<string, () => Promise<unknown>>> = {
    MGET: () => Promise.all(keys.map(key => client.mget(key))),
    SET: () => Promise.all(keys.map(key => client.set(key, '', 'PX', 1, 'XX'))),
    UNLINK: () => Promise.all(keys.map(key => client.unlink(key))),
    EVAL: () => connection.exchange(send => SCRIPT.call(send, connection.send, [], [])),
    HGETALL: () => client.hgetall(catalog),
    SCAN: () => Promise.all(connection.masters().map(node => node.scan(0, 'COUNT', 1))),
  };
  const tried = await Promise.all(
    Object.entries(attempts).map(async ([name, attempt]) => {
      try {
        await connection.call(attempt);
        return [];
      } catch (error) {
        return [{ name, reason: redisError(error).message }];
      }
    }),
  );
  const failed = tried.flat();
  if (failed.length === 0) return ok('it reads, writes and runs scripts');
  const names = failed.map(({ name }) => name).join(', ');
  const reasons = [...new Set(failed.map(({ reason }) => reason))];
  const [denied] = reasons.filter(reason => reason.includes('NOPERM'));
  return denied === undefined
    ? problem(
        `${names} failed: ${reasons.join('; ')}`,
        'remove the cause that Redis names; its log says more',
      )
    : problem(`the ACL user may not do all of this: ${names} (first: ${denied})`, aclFor(prefix));
}

/** Tracks one master's keys as headrace does, by a pair of connections, for a moment. */
export async function tryTracking(
  connection: RedisConnection,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Verdict> {
  const { prefix } = connection.target.parameters;
  const pair: Redis[] = [connection.sibling(host, port), connection.sibling(host, port)];
  const [tracker, subscriber] = pair as [Redis, Redis];
  for (const client of pair) client.on('error', () => undefined);
  try {
    await Promise.all(pair.map(client => client.connect()));
    const id = await subscriber.client('ID');
    await subscriber.subscribe(CHANNEL);
    await tracker.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', prefix);
    await tracker.call('CLIENT', 'TRACKINGINFO');
    return ok('it tells what other servers change');
  } catch (error) {
    const { message } = redisError(error);
    return problem(
      `nobody tells what other servers change: ${message}`,
      message.includes('NOPERM')
        ? aclFor(prefix)
        : 'CLIENT TRACKING with BCAST and REDIRECT is needed; a proxy before Redis may not have it',
    );
  } finally {
    for (const client of pair) client.disconnect();
  }
}

export function nodeOf({ client }: RedisNodeFacts): { host: string; port: number } {
  return { host: client.options.host ?? '', port: client.options.port ?? 0 };
}
