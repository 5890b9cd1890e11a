/**
 * What a Redis server's version and settings mean for headrace: as the store of record it must not forget, as a cache
 * it should.
 */
import type { RedisNodeFacts } from './redis-node-check.js';
import { ok, problem, type Verdict, warning } from './tier-check.js';

export type RedisRole = 'store of record' | 'cache';

const VERSION_MIN = 7;
/** Beyond this share of maxmemory there is little left until writes are refused. */
const MEMORY_SHARE_MAX = 0.9;
const REWRITE = 'CONFIG REWRITE (or the same in redis.conf), so that it outlives a restart';

export function judgeVersion({ info }: RedisNodeFacts): Verdict {
  const version = info.get('redis_version') ?? 'unknown';
  const valkey = info.get('valkey_version');
  const name = valkey === undefined ? `Redis ${version}` : `Valkey ${valkey} (as Redis ${version})`;
  return Number.parseInt(version, 10) >= VERSION_MIN
    ? ok(name)
    : problem(`${name}: headrace needs ${VERSION_MIN}.0`, `upgrade it to Redis ${VERSION_MIN}.0 or newer`);
}

export function judgeMemory({ info }: RedisNodeFacts, role: RedisRole): Verdict {
  const policy = info.get('maxmemory_policy') ?? 'unknown';
  const maxmemory = Number(info.get('maxmemory') ?? 0);
  const limit = maxmemory === 0 ? 'no maxmemory' : `maxmemory ${mebibytes(maxmemory)}`;
  const used = Number(info.get('used_memory') ?? 0);
  const says = `${limit}, maxmemory-policy ${policy}`;
  if (role === 'cache') {
    const set = 'CONFIG SET maxmemory <bytes, e.g. 4gb>\nCONFIG SET maxmemory-policy allkeys-lfu';
    if (maxmemory === 0) return warning(`${says}: as a cache it grows without a limit`, `${set}\n${REWRITE}`);
    if (policy !== 'noeviction') return ok(says);
    return warning(
      `${says}: once full, it caches nothing new`,
      `CONFIG SET maxmemory-policy allkeys-lfu\n${REWRITE}`,
    );
  }
  if (policy !== 'noeviction') {
    return problem(
      `${says}: once full, Redis throws away records that nothing else has`,
      `CONFIG SET maxmemory-policy noeviction\n${REWRITE}`,
    );
  }
  if (maxmemory === 0) {
    return warning(
      `${says}: when the machine's memory is full, the system ends Redis instead of Redis refusing writes`,
      `CONFIG SET maxmemory <bytes, at most about 3/4 of the machine's memory>\n${REWRITE}`,
    );
  }
  if (used > MEMORY_SHARE_MAX * maxmemory) {
    return warning(
      `${says}, ${mebibytes(used)} used: soon writes are refused`,
      'raise maxmemory (CONFIG SET maxmemory …), or add masters to the cluster',
    );
  }
  return ok(says);
}

/** By `appendfsync`: what a power cut loses of what was acknowledged. A crash of Redis alone loses nothing by these. */
const LOSSES: Readonly<Record<string, string>> = {
  always: 'a power cut loses nothing that was acknowledged',
  everysec: 'a power cut loses up to about the last second of acknowledged writes; always loses none',
};

export function judgePersistence({ info, config }: RedisNodeFacts, role: RedisRole): Verdict {
  if (role === 'cache') return ok('not needed: Redis is a cache here');
  if (info.get('aof_enabled') !== '1') {
    const save = config.get('save');
    const lost =
      save === ''
        ? 'everything'
        : `all writes since the last snapshot${save === undefined ? '' : ` (save ${save})`}`;
    return problem(
      `appendonly no: a crash or restart loses ${lost}`,
      `CONFIG SET appendonly yes\nCONFIG SET appendfsync always (loses nothing; everysec: up to about a second)\n${REWRITE}`,
    );
  }
  if (info.get('aof_last_write_status') !== 'ok') {
    return problem('the append-only file cannot be written', 'see the log of Redis; free space on its disk');
  }
  const fsync = config.get('appendfsync');
  if (fsync === undefined) {
    return warning(
      'appendonly yes; appendfsync may not be read',
      'allow it: ACL SETUSER <user> +config|get; or see to it that it is always or everysec',
    );
  }
  const loss = LOSSES[fsync];
  const says = `appendonly yes, appendfsync ${fsync}`;
  if (loss !== undefined) return ok(`${says}: ${loss}`);
  return warning(
    `${says}: a power cut loses what the system had not written yet, often 30 s of acknowledged writes`,
    `CONFIG SET appendfsync always (loses nothing; everysec: up to about a second)\n${REWRITE}`,
  );
}

export function judgeReplicas({ info, config }: RedisNodeFacts, role: RedisRole): Verdict {
  const replicas = Number(info.get('connected_slaves') ?? 0);
  const online = [...info].filter(
    ([name, value]) => /^slave\d+$/.test(name) && value.includes('state=online'),
  );
  const says = `${replicas} connected${online.length < replicas ? `, ${online.length} of them in step` : ''}`;
  if (role === 'cache') return ok(`${says}; not needed: Redis is a cache here`);
  if (online.length === 0) {
    return warning(
      `${says}: the records are on one machine`,
      'add a replica (REPLICAOF <host> <port> on another server), with Sentinel or in a cluster',
    );
  }
  const needed = Number(config.get('min-replicas-to-write') ?? Number.NaN);
  if (needed >= 1) return ok(`${says}, min-replicas-to-write ${needed}`);
  const unknown = Number.isNaN(needed);
  return warning(
    unknown
      ? `${says}; min-replicas-to-write may not be read`
      : `${says}, min-replicas-to-write 0: a master cut off from its replicas goes on taking writes, which a failover loses`,
    unknown
      ? 'allow it: ACL SETUSER <user> +config|get'
      : `CONFIG SET min-replicas-to-write 1 (writes are then refused while no replica is in step)\n${REWRITE}`,
  );
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
