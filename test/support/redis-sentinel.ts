/** A real master with a replica for tests, and a Sentinel that watches them. */
import { eventually, RedisServer } from './redis-server.js';

export class RedisTestSentinel {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinel: RedisServer;

  private constructor(master: RedisServer, replica: RedisServer, sentinel: RedisServer) {
    this.master = master;
    this.replica = replica;
    this.sentinel = sentinel;
  }

  static async start(): Promise<RedisTestSentinel> {
    const servers: RedisServer[] = [];
    try {
      const start = async (args: string[]) => {
        const server = await RedisServer.start(args);
        servers.push(server);
        return server;
      };
      const quick = ['--repl-diskless-sync-delay', '0'];
      const master = await start(quick);
      const replica = await start([...quick, '--replicaof', `127.0.0.1 ${master.port}`]);
      await eventually(
        async () => /slave0:.*state=online/.test(await master.admin.info('replication')),
        'a replica',
      );
      const sentinel = await start(['--sentinel']);
      const { admin } = sentinel;
      await admin.call('SENTINEL', 'MONITOR', 'mymaster', '127.0.0.1', master.port, 1);
      await admin.call('SENTINEL', 'SET', 'mymaster', 'down-after-milliseconds', 1_000);
      await admin.call('SENTINEL', 'SET', 'mymaster', 'failover-timeout', 5_000);
      await eventually(async () => {
        const replicas = (await admin.call('SENTINEL', 'REPLICAS', 'mymaster')) as string[][];
        return replicas.length === 1 && replicas[0]?.includes('ok');
      }, 'the Sentinel knows the replica');
      return new RedisTestSentinel(master, replica, sentinel);
    } catch (error) {
      await Promise.all(servers.map(server => server.close()));
      throw error;
    }
  }

  get url(): string {
    return `redis+sentinel://127.0.0.1:${this.sentinel.port}/mymaster`;
  }

  /** Has the Sentinel promote the replica. */
  async failOver(): Promise<void> {
    await eventually(
      async () => (await this.sentinel.admin.call('SENTINEL', 'FAILOVER', 'mymaster')) === 'OK',
      'it starts',
    );
    await this.promoted();
  }

  async promoted(): Promise<void> {
    await eventually(
      async () => (await this.replica.admin.role())[0] === 'master',
      'the replica is the master',
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.sentinel, this.replica, this.master].map(server => server.close()));
  }
}
