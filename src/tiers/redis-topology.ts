/**
 * Which masters there are, by address. In a cluster also those without slots: while slots move to one, keys are
 * written there before any map of the cluster shows it.
 */
import { Cluster } from 'ioredis';
import type { RedisConnection } from './redis-connection.js';
import type { RedisNode } from './redis-url.js';

/** What CLUSTER NODES says of a master. */
interface ClusterMaster extends RedisNode {
  /** `host:port`, by address and by name. */
  readonly names: readonly string[];
  readonly hasSlots: boolean;
}

export class RedisTopology {
  readonly #connection: RedisConnection;
  #withoutSlots: readonly ClusterMaster[] = [];
  /** The server that the client was last connected to, where that is one. */
  #server: RedisNode | undefined;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  /** The masters as far as is known, by `host:port`. */
  masters(): Map<string, RedisNode> {
    const { client } = this.#connection;
    if (client instanceof Cluster) {
      const withSlots = this.#connection.mastersWithSlots().map(({ options }) => options);
      const nodes = withSlots.flatMap(({ host, port }) => (host && port ? [{ host, port }] : []));
      return byName([...nodes, ...this.#withoutSlots]);
    }
    const { remoteAddress: host, remotePort: port } = client.stream ?? {};
    if (client.status === 'ready' && host !== undefined && port !== undefined) this.#server = { host, port };
    return byName(this.#server === undefined ? [] : [this.#server]);
  }

  /** Compares what the cluster says of itself with what the client believes, and has the client look if they differ. */
  async refresh(): Promise<void> {
    const { client } = this.#connection;
    if (!(client instanceof Cluster)) return;
    const asked = this.#connection.masters().find(({ status }) => status === 'ready' || status === 'wait');
    if (asked === undefined) return;
    const masters = mastersIn(String(await asked.call('CLUSTER', 'NODES')));
    const known = new Set(
      this.#connection.mastersWithSlots().map(({ options }) => `${options.host}:${options.port}`),
    );
    const unknown = masters.filter(({ names }) => !names.some(name => known.has(name)));
    this.#withoutSlots = unknown.filter(({ hasSlots }) => !hasSlots);
    const believed = masters.filter(({ hasSlots }) => hasSlots).length === known.size;
    if (!believed || unknown.some(({ hasSlots }) => hasSlots)) client.refreshSlotsCache();
  }
}

function byName(nodes: readonly RedisNode[]): Map<string, RedisNode> {
  return new Map(nodes.map(node => [`${node.host}:${node.port}`, node]));
}

const UNUSABLE = new Set(['fail', 'handshake', 'noaddr']);

/** A line: id, `ip:port@busport,hostname`, flags, master, ping, pong, epoch, link, slots. Failed nodes are left out. */
function mastersIn(nodes: string): ClusterMaster[] {
  return nodes.split('\n').flatMap(line => {
    const [, place = '', flagText = '', , , , , , ...slots] = line.trim().split(' ');
    const flags = flagText.split(',');
    const [, host = '', port, name = ''] = /^(.*):(\d+)(?:@\d+)?(?:,([^,]*))?/.exec(place) ?? [];
    const isUsable = flags.includes('master') && !flags.some(flag => UNUSABLE.has(flag));
    if (!isUsable || host === '' || port === undefined) return [];
    const names = [`${host}:${port}`, `${name}:${port}`];
    return [{ host, port: Number(port), names, hasSlots: slots.some(slot => !slot.startsWith('[')) }];
  });
}
