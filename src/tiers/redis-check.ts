/**
 * Checks of Redis for `headrace doctor`, each resting on the ones before it:
 *
 *   url → servers (do they answer) → mode → masters → version, access, tracking, memory, persistence, replicas, latency
 *
 * Nothing is changed in Redis.
 */
import { nodeOf, tryCommands, tryTracking } from './redis-access-check.js';
import { RedisConnection } from './redis-connection.js';
import { findMasters, judgeMode } from './redis-masters-check.js';
import { askRedisNode, isFailure, type RedisNodeFacts, type RedisNodeFailure } from './redis-node-check.js';
import {
  judgeMemory,
  judgePersistence,
  judgeReplicas,
  judgeVersion,
  type RedisRole,
} from './redis-settings-check.js';
import { parseRedisUrl, type RedisNode, type RedisTarget, showRedisTarget } from './redis-url.js';
import {
  Checklist,
  type Finding,
  judgeLatency,
  ok,
  problem,
  type Verdict,
  warning,
  worstOf,
} from './tier-check.js';

export interface RedisCheckOptions {
  readonly url: string;
  readonly role: RedisRole;
  /** What a call to Redis may take, as configured. */
  readonly timeoutMs: number;
  /** For each check. */
  readonly limitMs: number;
}

/** Of a check's time, for each of the two things that a server is asked when it is connected to. */
const NODE_SHARE = 0.4;
const PINGS_SHARE = 0.5;
const LOOK = 'look at the log of Redis';

export async function checkRedis(options: RedisCheckOptions): Promise<readonly Finding[]> {
  const list = new Checklist('redis', options.limitMs);
  const target = parseRedisUrl(options.url);
  await list.check('url', '', () =>
    typeof target === 'string'
      ? problem(`HEADRACE_REDIS_URL ${target}`, 'correct it; redis://user:password@host:6379/0 is a full one')
      : ok(showRedisTarget(target)),
  );
  if (typeof target !== 'string') await new RedisCheck(list, target, options).run();
  return list.findings;
}

interface Asked {
  readonly answering: readonly RedisNodeFacts[];
  readonly failures: readonly RedisNodeFailure[];
}

function told(failures: readonly RedisNodeFailure[]): { says: string; change: string } {
  const says = failures.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return { says, change: [...new Set(failures.map(({ change }) => change))].join('\n') };
}

class RedisCheck {
  readonly #list: Checklist;
  readonly #target: RedisTarget;
  readonly #options: RedisCheckOptions;
  /** To be disconnected at the end. */
  readonly #answering: RedisNodeFacts[] = [];

  constructor(list: Checklist, target: RedisTarget, options: RedisCheckOptions) {
    this.#list = list;
    this.#target = target;
    this.#options = options;
  }

  async run(): Promise<void> {
    try {
      const named = this.#namedTarget();
      if (!(await this.#list.check('servers', LOOK, () => this.#reach(named, named.nodes)))) return;
      const nodes = [...this.#answering];
      const mode = () => worstOf(nodes.map(node => [node.name, judgeMode(node, this.#target)]));
      if (!(await this.#list.check('mode', LOOK, mode))) return;
      const masters: RedisNode[] = [];
      await this.#list.check('masters', LOOK, async () => {
        const [asked] = nodes;
        if (asked === undefined) return problem('none answers', LOOK);
        const found = await findMasters(asked, this.#target);
        masters.push(...found.masters);
        return found.verdict;
      });
      if (masters.length > 0) await this.#checkMasters(await this.#open(masters, nodes));
    } finally {
      for (const { client } of this.#answering) client.disconnect();
    }
  }

  /** The servers of the URL. Sentinels have a user and a password of their own. */
  #namedTarget(): RedisTarget {
    if (this.#target.mode !== 'sentinel') return this.#target;
    const { sentinelUsername: username, sentinelPassword: password } = this.#target.parameters;
    return { ...this.#target, username, password };
  }

  async #reach(target: RedisTarget, nodes: readonly RedisNode[]): Promise<Verdict> {
    const { answering, failures } = await this.#ask(target, nodes);
    const count = answering.length;
    if (failures.length === 0) return ok(count === 1 ? 'it answers' : `all ${count} answer`);
    const { says, change } = told(failures);
    return count === 0 ? problem(says, change) : warning(`${says}; ${count} others answer`, change);
  }

  async #ask(target: RedisTarget, nodes: readonly RedisNode[]): Promise<Asked> {
    const limitMs = NODE_SHARE * this.#options.limitMs;
    const asked = await Promise.all(nodes.map(node => askRedisNode(target, node, limitMs)));
    const answering = asked.flatMap(node => (isFailure(node) ? [] : [node]));
    this.#answering.push(...answering);
    return { answering, failures: asked.filter(isFailure) };
  }

  /** What the URL of a single server names is its master, and connected to already. */
  async #open(masters: readonly RedisNode[], named: readonly RedisNodeFacts[]): Promise<RedisNodeFacts[]> {
    if (this.#target.mode === 'standalone') return [...named];
    const opened: RedisNodeFacts[] = [];
    await this.#list.check('addresses', LOOK, async () => {
      const { answering, failures } = await this.#ask(this.#target, masters);
      opened.push(...answering);
      if (failures.length === 0) return ok(`every master answers where ${this.#announcer()} it is`);
      const { says, change } = told(failures);
      const announce = `have masters announce an address that can be reached from here (${this.#announcement()})`;
      return problem(
        `a master does not answer where ${this.#announcer()} it is: ${says}`,
        `${change}\n${announce}`,
      );
    });
    return opened;
  }

  #announcer(): string {
    return this.#target.mode === 'cluster' ? 'the cluster says' : 'Sentinel says';
  }

  #announcement(): string {
    return this.#target.mode === 'cluster'
      ? 'cluster-announce-ip, cluster-announce-port'
      : 'replica-announce-ip';
  }

  async #checkMasters(masters: readonly RedisNodeFacts[]): Promise<void> {
    const { role, timeoutMs, limitMs } = this.#options;
    const each = (name: string, judge: (node: RedisNodeFacts) => Verdict | Promise<Verdict>) =>
      this.#list.check(name, LOOK, async () =>
        worstOf(await Promise.all(masters.map(async node => [node.name, await judge(node)] as const))),
      );
    if (masters.length === 0) return;
    await each('version', judgeVersion);
    const errors: Error[] = [];
    const connection = new RedisConnection(this.#target, {
      commandTimeoutMs: NODE_SHARE * limitMs,
      connectTimeoutMs: NODE_SHARE * limitMs,
      name: 'headrace-doctor',
      onError: error => errors.push(error),
    });
    try {
      await this.#list.check('access', LOOK, async () => {
        const verdict = await tryCommands(connection);
        const noDatabase = errors.find(({ message }) => message.includes('DB index'));
        return noDatabase === undefined
          ? verdict
          : problem(
              `there is no database ${this.#target.database}: ${noDatabase.message}`,
              'name another in the path of HEADRACE_REDIS_URL, or raise databases in redis.conf',
            );
      });
      await each('tracking', node => tryTracking(connection, nodeOf(node)));
    } finally {
      connection.close();
    }
    await each('memory', node => judgeMemory(node, role));
    await each('persistence', node => judgePersistence(node, role));
    await each('replicas', node => judgeReplicas(node, role));
    const latency = { timeoutMs, option: 'HEADRACE_REDIS_TIMEOUT', limitMs: PINGS_SHARE * limitMs };
    await this.#list.check('latency', LOOK, () =>
      judgeLatency(
        masters.map(({ name, client }) => [name, () => client.ping()]),
        latency,
      ),
    );
  }
}
