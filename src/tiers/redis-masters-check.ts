/**
 * Finds the masters behind the servers that the URL names, and checks that this is how the URL says it is: one server
 * that is a master, Sentinels that agree on one, a cluster whose slots are all served.
 */
import type { RedisNodeFacts } from './redis-node-check.js';
import { type RedisNode, type RedisTarget, showRedisTarget } from './redis-url.js';
import { ok, problem, type Verdict, warning } from './tier-check.js';

export interface FoundMasters {
  readonly verdict: Verdict;
  readonly masters: readonly RedisNode[];
}

const SLOTS = 16_384;

/** What the servers are must be what the URL takes them for. */
export function judgeMode({ info }: RedisNodeFacts, target: RedisTarget): Verdict {
  const mode = info.get('redis_mode') ?? 'unknown';
  if (mode === target.mode) return ok(mode);
  const change = `HEADRACE_REDIS_URL=${urlOf(target, mode)}`;
  return problem(`HEADRACE_REDIS_URL takes it for ${target.mode}, it is ${mode}`, change);
}

/** The URL with another mode, without its secrets. */
function urlOf(target: RedisTarget, mode: string): string {
  const [first] = target.nodes;
  switch (mode) {
    case 'cluster':
      return showRedisTarget({ ...target, mode });
    case 'sentinel':
      return showRedisTarget({ ...target, mode, masterName: '<name of the master>' });
    default:
      return showRedisTarget({ ...target, mode: 'standalone', nodes: first === undefined ? [] : [first] });
  }
}

/** @throws Error when the servers do not answer any more. */
export function findMasters(asked: RedisNodeFacts, target: RedisTarget): Promise<FoundMasters> {
  if (target.mode === 'cluster') return ofCluster(asked);
  return target.mode === 'sentinel' ? ofSentinel(asked, target) : Promise.resolve(ofServer(asked, target));
}

function ofServer({ info }: RedisNodeFacts, target: RedisTarget): FoundMasters {
  if (info.get('role') === 'master') return { verdict: ok('it is a master'), masters: target.nodes };
  const master = `${info.get('master_host')}:${info.get('master_port')}`;
  return {
    verdict: problem(
      `it is a replica of ${master}: it refuses writes`,
      `HEADRACE_REDIS_URL=redis://${master}; or name its Sentinels: ${urlOf(target, 'sentinel')}`,
    ),
    masters: [],
  };
}

async function ofSentinel({ client }: RedisNodeFacts, target: RedisTarget): Promise<FoundMasters> {
  const { masterName } = target;
  const found = (await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName)) as string[] | null;
  if (found === null) {
    const known = ((await client.call('SENTINEL', 'MASTERS')) as string[][]).map(fields => fields[1]);
    const names = known.length === 0 ? 'none' : known.join(', ');
    const change = `put one of these names behind the hosts: ${urlOf(target, 'sentinel')}`;
    return {
      verdict: problem(`the Sentinels know no master '${masterName}'; they know: ${names}`, change),
      masters: [],
    };
  }
  const masters = [{ host: found[0] ?? '', port: Number(found[1]) }];
  const says = `the Sentinels name ${found.join(':')} for ${masterName}`;
  try {
    await client.call('SENTINEL', 'CKQUORUM', masterName);
  } catch (error) {
    const reason = (error as Error).message;
    const change = `start the Sentinels that are missing; SENTINEL CKQUORUM ${masterName} tells`;
    return { verdict: warning(`${says}, but could not fail over: ${reason}`, change), masters };
  }
  return { verdict: ok(`${says}, and could fail over`), masters };
}

async function ofCluster({ client }: RedisNodeFacts): Promise<FoundMasters> {
  const [info, ranges] = await Promise.all([
    client.call('CLUSTER', 'INFO').then(String),
    client.call('CLUSTER', 'SLOTS') as Promise<SlotRange[]>,
  ]);
  const slots = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const state = /cluster_state:(\w+)/.exec(info)?.[1] ?? 'unknown';
  const failing = Number(/cluster_slots_fail:(\d+)/.exec(info)?.[1] ?? 0);
  const byName = new Map(ranges.map(([, , [host, port]]) => [`${host}:${port}`, { host, port }]));
  const masters = [...byName.values()].filter(({ host }) => host !== '' && host !== null);
  const says = `state ${state}, ${slots} of ${SLOTS} slots on ${byName.size} masters`;
  if (slots < SLOTS) {
    const change = 'redis-cli --cluster fix <host:port>, which gives every slot a master';
    return {
      verdict: problem(`${says}: keys of the others can be neither read nor written`, change),
      masters,
    };
  }
  if (state !== 'ok' || failing > 0) {
    const change =
      'bring the masters back that do not answer (CLUSTER NODES marks them fail), or let their replicas take over';
    return { verdict: problem(`${says}, ${failing} of them fail`, change), masters };
  }
  return { verdict: ok(says), masters };
}

/** First and last slot, the master, its replicas. */
type SlotRange = [first: number, last: number, master: [host: string, port: number], ...unknown[]];
