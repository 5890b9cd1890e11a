/** A real Redis Cluster for tests, 3 masters with a replica each, and what tests do to it: fail over, move a slot. */
import { eventually, freePort, RedisServer } from './redis-server.js';

const MASTERS = 3;
const SLOTS = 16_384;

export class RedisTestCluster {
  /** The first three began as masters, the next three as replicas of these in the same order. */
  readonly servers: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  static async start(): Promise<RedisTestCluster> {
    const servers: RedisServer[] = [];
    try {
      for (let n = 0; n < 2 * MASTERS; n++) servers.push((await startNode()).server);
      await join(servers);
    } catch (error) {
      await Promise.all(servers.map(server => server.close()));
      throw error;
    }
    return new RedisTestCluster(servers);
  }

  get url(): string {
    return `redis+cluster://${this.servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  at(index: number): RedisServer {
    const server = this.servers[index];
    if (server === undefined) throw new Error(`there is no server ${index}`);
    return server;
  }

  /** Makes the replica of a first master the master in its place, which stays up as its replica. */
  async failOver(index: number): Promise<void> {
    const replica = this.at(index + MASTERS).admin;
    await replica.call('CLUSTER', 'FAILOVER');
    await eventually(async () => (await replica.role())[0] === 'master', 'the replica is the master');
  }

  /** Adds an empty master. The caller closes it. */
  async addMaster(): Promise<RedisServer> {
    const { server, busPort } = await startNode();
    await server.admin.call('CLUSTER', 'SET-CONFIG-EPOCH', '100');
    await this.at(0).admin.call('CLUSTER', 'MEET', '127.0.0.1', server.port, busPort);
    await eventually(async () => {
      const known = await Promise.all(
        [...this.servers, server].map(({ admin }) => admin.call('CLUSTER', 'NODES')),
      );
      return known.every(text => String(text).trim().split('\n').length >= this.servers.length + 1);
    }, 'all know the new master');
    await eventually(async () => /cluster_state:ok/.test(await server.admin.cluster('INFO')), 'it is ready');
    return server;
  }

  /** Moves a slot with its keys, whose names it returns; `during` runs when half of it has moved and both servers answer for it. */
  async moveSlot(
    slot: number,
    from: RedisServer,
    to: RedisServer,
    during?: () => Promise<void>,
  ): Promise<readonly string[]> {
    const [fromId, toId] = [await nodeId(from), await nodeId(to)];
    await to.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
    await from.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
    const keys = (await from.admin.call('CLUSTER', 'GETKEYSINSLOT', slot, 10_000)) as string[];
    for (const key of keys) await from.admin.call('MIGRATE', '127.0.0.1', to.port, key, 0, 5_000);
    await during?.();
    await to.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    await from.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    return keys;
  }

  async close(): Promise<void> {
    await Promise.all(this.servers.map(server => server.close()));
  }
}

async function startNode(): Promise<{ server: RedisServer; busPort: number }> {
  const busPort = await freePort();
  const args = [
    '--cluster-enabled',
    'yes',
    '--cluster-port',
    String(busPort),
    '--cluster-node-timeout',
    '1000',
  ];
  // A replica counts as available once its master has sent it something: a ping does.
  const replication = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
  // A master that gave its last slot away stays one.
  const roles = ['--cluster-replica-validity-factor', '0', '--cluster-allow-replica-migration', 'no'];
  const more = [...roles, ...replication];
  return { server: await RedisServer.start([...args, ...more]), busPort };
}

export async function nodeId(server: RedisServer): Promise<string> {
  return String(await server.admin.call('CLUSTER', 'MYID'));
}

async function join(servers: readonly RedisServer[]): Promise<void> {
  const masters = servers.slice(0, MASTERS);
  for (const [index, { admin }] of masters.entries()) {
    const [first, next] = [index, index + 1].map(n => Math.round((n * SLOTS) / MASTERS));
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', first ?? 0, (next ?? 0) - 1);
  }
  for (const [index, { admin }] of servers.entries()) {
    await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  }
  // Each is introduced to each: by gossip alone it takes ten times as long.
  for (const { admin: known, port } of servers) {
    const [, busPort = ''] = (await known.config('GET', 'cluster-port')) as string[];
    for (const { admin } of servers) await admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort);
  }
  await eventually(async () => {
    const known = await Promise.all(servers.map(({ admin }) => admin.call('CLUSTER', 'NODES')));
    return known.every(text => {
      const lines = String(text).trim().split('\n');
      return lines.length === servers.length && !String(text).includes('handshake');
    });
  }, 'all nodes know each other');
  for (const [index, { admin }] of servers.slice(MASTERS).entries()) {
    const master = masters[index];
    if (master !== undefined) await admin.call('CLUSTER', 'REPLICATE', await nodeId(master));
  }
  await eventually(async () => {
    const infos = await Promise.all(servers.map(({ admin }) => admin.cluster('INFO')));
    const links = await Promise.all(servers.slice(MASTERS).map(({ admin }) => admin.info('replication')));
    const slots = await Promise.all(servers.map(({ admin }) => admin.cluster('SLOTS')));
    return (
      infos.every(info => info.includes('cluster_state:ok')) &&
      links.every(info => info.includes('master_link_status:up')) &&
      slots.every(ranges => (ranges as unknown[][]).every(range => range.length === 4))
    );
  }, 'the cluster is up with its replicas');
}
