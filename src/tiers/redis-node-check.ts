/** One Redis server, asked what it is: connected to as the server does, once, with what fails named for a person. */
import type { Redis } from 'ioredis';
import { RedisConnection } from './redis-connection.js';
import { redisError } from './redis-error.js';
import type { RedisNode, RedisTarget } from './redis-url.js';

/** A server that answers. */
export interface RedisNodeFacts {
  /** `host:port`. */
  readonly name: string;
  readonly client: Redis;
  /** The fields of INFO. */
  readonly info: ReadonlyMap<string, string>;
  /** The settings that may be read; without the right to CONFIG GET there are none. */
  readonly config: ReadonlyMap<string, string>;
}

/** A server that does not, and why; `change` is what to do about it. */
export interface RedisNodeFailure {
  readonly name: string;
  readonly reason: string;
  readonly change: string;
}

const SETTINGS = ['appendonly', 'appendfsync', 'min-replicas-to-write', 'save'];

/**
 * The named server, by the target's user and TLS; each question may take `limitMs`. The caller disconnects the client.
 */
export async function askRedisNode(
  target: RedisTarget,
  node: RedisNode,
  limitMs: number,
): Promise<RedisNodeFacts | RedisNodeFailure> {
  const name = nodeName(node);
  const client = openNode(target, node, limitMs);
  let isConnected = false;
  // What made a connection fail is told by an event; the call that waits for it only learns that it did.
  let cause: Error | undefined;
  client.on('connect', () => {
    isConnected = true;
  });
  client.on('error', error => {
    cause ??= error;
  });
  try {
    await client.connect();
    const info = fieldsOf(await client.info());
    return { name, client, info, config: await settingsOf(client) };
  } catch (error) {
    // To disconnect what has ended would start a timer of the client, which nothing ends before its time.
    if (client.status !== 'end') client.disconnect();
    return { name, ...explain(cause ?? error, isConnected, target.tls) };
  }
}

export function isFailure(node: RedisNodeFacts | RedisNodeFailure): node is RedisNodeFailure {
  return 'reason' in node;
}

export function nodeName({ host, port }: RedisNode): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function openNode(target: RedisTarget, node: RedisNode, limitMs: number): Redis {
  const options = { commandTimeoutMs: limitMs, connectTimeoutMs: limitMs, name: 'headrace-doctor' };
  const connection = new RedisConnection({ ...target, mode: 'standalone', nodes: [node] }, options);
  try {
    return connection.sibling(node.host, node.port);
  } finally {
    connection.close();
  }
}

async function settingsOf(client: Redis): Promise<ReadonlyMap<string, string>> {
  try {
    const pairs = (await client.call('CONFIG', 'GET', ...SETTINGS)) as string[];
    return new Map(pairs.flatMap((name, at) => (at % 2 === 0 ? [[name, pairs[at + 1] ?? '']] : [])));
  } catch {
    return new Map();
  }
}

/** `name:value` a line; headings begin with #. */
function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').filter(line => line.includes(':'));
  return new Map(lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

const TLS = 'redis:// is without TLS, rediss:// with it; ?ca= names the certificates to trust';
const WHERE = 'set HEADRACE_REDIS_URL to where Redis is';

/** Looked for in order, in the error's code and message. */
const CAUSES: readonly (readonly [form: RegExp, reason: string, change: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there', `start Redis there, or ${WHERE}`],
  [/ENOTFOUND|EAI_AGAIN/, 'there is no host of that name', WHERE],
  [/EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, 'no connection can be made', `open the way to it, or ${WHERE}`],
  [
    /NOAUTH|WRONGPASS|invalid (username-)?password|without any password/i,
    'it refuses the user or password',
    'give them in HEADRACE_REDIS_URL: redis://user:password@host:port (what is special, percent-encoded)',
  ],
  [
    /NOPERM/,
    'the ACL user may not run INFO, so nothing can be checked',
    'allow it: ACL SETUSER <user> +info +config|get',
  ],
  [/SSL|TLS|certificate|wrong version number|EPROTO/i, 'TLS fails', TLS],
  [/LOADING/, 'it is loading its data from disk', 'wait, then ask again'],
];

function explain(error: unknown, isConnected: boolean, isTls: boolean): Omit<RedisNodeFailure, 'name'> {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  if (isConnected && /timed? ?out|timeout/i.test(message)) {
    return {
      reason: 'it hangs: it takes connections and does not answer',
      change: 'see whether its process is stopped, swaps or runs a slow command; else restart it',
    };
  }
  if (isTls && code === 'ETIMEDOUT') {
    return { reason: 'no TLS connection can be made: nobody answers, or not in TLS', change: TLS };
  }
  const [, reason, change] = CAUSES.find(([form]) => form.test(`${code} ${message}`)) ?? [];
  if (reason !== undefined && change !== undefined) return { reason: `${reason} (${message})`, change };
  return {
    reason: redisError(error).message,
    change: `see the log of that server, and whether it is Redis, perhaps with TLS (rediss://); or ${WHERE}`,
  };
}
