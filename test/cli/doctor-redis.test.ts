/** `headrace doctor` against real Redis servers: healthy, ill in each way that it names, silent, and not Redis at all. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { RedisTestCluster } from '../support/redis-cluster.js';
import { RedisTestSentinel } from '../support/redis-sentinel.js';
import { describeWithRedis, eventually, freePort, RedisServer } from '../support/redis-server.js';
import { headrace } from './command-line.js';
import { changesOf, findingsOf, linesOf } from './doctor-findings.js';

const PASSWORD = 's3same-0pen';
const MEMORY = ['--maxmemory', '200mb'];
const RECORD = [...MEMORY, '--appendonly', 'yes', '--appendfsync', 'always'];

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(args);
  open.push(server);
  return server;
}

async function serve(answer: string | undefined): Promise<string> {
  const server: Server = createServer(socket => {
    socket.on('error', () => undefined);
    if (answer === undefined) socket.destroy();
    else socket.on('data', () => socket.write(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return `redis://127.0.0.1:${address.port}`;
}

const redisLines = async (redisUrl: string, flags = {}) =>
  linesOf(await findingsOf({ redisUrl, ...flags }), 'redis');

/** With MongoDB as the store of record Redis is a cache; its own findings do not matter here. */
const AS_CACHE = { mongodbUrl: 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50' };

describeWithRedis('doctor, of one Redis server', () => {
  it('finds nothing to change where there is nothing', async () => {
    const server = await start(...RECORD, '--min-replicas-to-write', '1', '--repl-diskless-sync-delay', '0');
    await start('--replicaof', `127.0.0.1 ${server.port}`);
    await eventually(
      async () => /slave0:.*state=online/.test(await server.admin.info('replication')),
      'a replica',
    );
    const before = await server.admin.dbsize();
    const { code, out, error } = await headrace(['doctor', '--redis-url', server.url, '--lanes', '1']);
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(
      out
        .split('\n')
        .filter(line => line.includes('  redis  '))
        .map(line => line.split(/ {2,}/)[2]),
    ).toEqual([
      ...['url', 'servers', 'mode', 'masters', 'version', 'access', 'tracking', 'memory', 'persistence'],
      ...['replicas', 'latency'],
    ]);
    expect(out).toContain('appendfsync always: a power cut loses nothing that was acknowledged');
    expect(out).not.toMatch(/^(warning|problem) +redis/m);
    expect(await server.admin.dbsize()).toBe(before);
  });

  it('names a store of record that forgets, and what it says to change is enough', async () => {
    const server = await start(...MEMORY, '--maxmemory-policy', 'allkeys-lru');
    const flags = { redisUrl: server.url };
    const ill = await findingsOf(flags);
    expect(linesOf(ill, 'redis').filter(line => line.startsWith('problem'))).toEqual([
      expect.stringMatching(
        /^problem memory: maxmemory 200 MiB, maxmemory-policy allkeys-lru: .* throws away/,
      ),
      'problem persistence: appendonly no: a crash or restart loses everything',
    ]);
    const { memory = '', persistence = '' } = changesOf(ill, 'redis');
    const steps = `${memory}\n${persistence}`.split('\n').filter(step => step.startsWith('CONFIG SET'));
    for (const step of steps) {
      const [, , name = '', value = ''] = step.split(' ');
      await server.admin.config('SET', name, value);
    }
    await eventually(
      async () => /aof_rewrite_in_progress:0/.test(await server.admin.info('persistence')),
      'it is set',
    );
    const lines = linesOf(await findingsOf(flags), 'redis');
    expect(lines.filter(line => line.startsWith('problem'))).toEqual([]);
  });

  it('says what each way to persist loses', async () => {
    const server = await start(...MEMORY, '--appendonly', 'yes');
    expect(await redisLines(server.url)).toContainEqual(
      expect.stringMatching(/^ok persistence: .* everysec: a power cut loses up to about the last second/),
    );
    await server.admin.config('SET', 'appendfsync', 'no');
    expect(await redisLines(server.url)).toContainEqual(
      expect.stringMatching(/^warning persistence: .*fsync no/),
    );
    await server.admin.config('SET', 'appendonly', 'no');
    await server.admin.config('SET', 'save', '60 1');
    expect(await redisLines(server.url)).toContainEqual(
      expect.stringMatching(/^problem persistence: .*since the last snapshot \(save 60 1\)/),
    );
  });

  it('judges a cache by other rules', async () => {
    const server = await start();
    const lines = () => redisLines(server.url, AS_CACHE);
    expect(await lines()).toContainEqual(expect.stringMatching(/^warning memory: no maxmemory/));
    await server.admin.config('SET', 'maxmemory', '100mb');
    expect(await lines()).toContainEqual(expect.stringMatching(/^warning memory: .* caches nothing new/));
    await server.admin.config('SET', 'maxmemory-policy', 'allkeys-lfu');
    expect((await lines()).filter(line => !line.startsWith('ok'))).toEqual([]);
  });

  it('names one that is out of memory', async () => {
    const server = await start(...RECORD);
    await server.admin.config('SET', 'maxmemory', '500kb');
    const lines = await redisLines(server.url);
    expect(lines).toContainEqual(expect.stringMatching(/^problem access: SET failed: .*out of memory/));
    expect(lines).toContainEqual(expect.stringMatching(/^warning memory: .* soon writes are refused/));
  });

  it('names one that has too few replicas to take writes', async () => {
    const server = await start(...RECORD, '--min-replicas-to-write', '1');
    const lines = await redisLines(server.url);
    expect(lines).toContainEqual(
      expect.stringMatching(/^problem access: SET, UNLINK.* failed: .*min-replicas-to-write/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^warning replicas: 0 connected/));
  });

  it('names a replica, and its master', async () => {
    const master = await start();
    const replica = await start('--replicaof', `127.0.0.1 ${master.port}`);
    const findings = await findingsOf({ redisUrl: replica.url });
    const says = `it is a replica of 127.0.0.1:${master.port}: it refuses writes`;
    expect(linesOf(findings, 'redis').at(-1)).toBe(`problem masters: ${says}`);
    expect(changesOf(findings, 'redis')['masters']).toContain(
      `HEADRACE_REDIS_URL=redis://127.0.0.1:${master.port}`,
    );
  });

  it('names a wrong password, a missing one, and prints none', async () => {
    const server = await start();
    await server.admin.config('SET', 'requirepass', PASSWORD);
    for (const login of [':wr0ng-one@', '']) {
      const findings = await findingsOf(
        { redisUrl: `redis://${login}127.0.0.1:${server.port}` },
        'wr0ng-one',
      );
      expect(linesOf(findings, 'redis').at(-1)).toMatch(
        /^problem servers: .*it refuses the user or password/,
      );
    }
    const right = await findingsOf({ redisUrl: `redis://:${PASSWORD}@127.0.0.1:${server.port}` }, PASSWORD);
    expect(linesOf(right, 'redis').at(-1)).toMatch(/^ok latency/);
  });

  it('names what the ACL user may not do, and what it says to change is enough', async () => {
    const server = await start(...RECORD);
    const user = (rules: string) => server.admin.call('ACL', 'SETUSER', 'small', ...rules.split(' '));
    await user(`on >${PASSWORD} ~other:* +@read +ping`);
    const flags = { redisUrl: `redis://small:${PASSWORD}@127.0.0.1:${server.port}` };
    const blind = await findingsOf(flags, PASSWORD);
    expect(linesOf(blind, 'redis').at(-1)).toMatch(/^problem servers: .*may not run INFO/);
    await user('+info');
    const ill = await findingsOf(flags, PASSWORD);
    const lines = linesOf(ill, 'redis');
    expect(lines).toContainEqual(
      expect.stringMatching(/^problem access: the ACL user .*: MGET, SET, UNLINK, EVAL, HGETALL/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^problem tracking: nobody tells/));
    expect(lines).toContainEqual(expect.stringMatching(/^warning persistence: .* may not be read/));
    const { access = '' } = changesOf(ill, 'redis');
    await user(access.replace('ACL SETUSER <user> ', ''));
    const well = linesOf(await findingsOf(flags, PASSWORD), 'redis');
    expect(well.filter(line => !line.startsWith('ok'))).toEqual([expect.stringMatching(/^warning replicas/)]);
  });

  it('names a database that there is not', async () => {
    const server = await start();
    expect(await redisLines(`${server.url}/99`)).toContainEqual(
      expect.stringMatching(/^problem access: there is no database 99/),
    );
  });

  it('names a server that hangs', async () => {
    const server = await start();
    server.stop();
    try {
      const { code, out } = await headrace(['doctor', '--redis-url', server.url]);
      expect(code).toBe(1);
      expect(out).toMatch(/problem +redis +servers .*it hangs: it takes connections and does not answer/);
      const password = await redisLines(`redis://:${PASSWORD}@127.0.0.1:${server.port}`);
      expect(password.at(-1)).toMatch(/^problem servers: .*it hangs/);
    } finally {
      server.resume();
    }
  });

  it('names a place where nothing listens, and one that is not Redis', async () => {
    const nobody = await redisLines(`redis://127.0.0.1:${await freePort()}`);
    expect(nobody.at(-1)).toMatch(/^problem servers: .*nothing listens there/);
    for (const answer of [undefined, 'HTTP/1.1 400 Bad Request\r\n\r\n', '$5\r\nhello\r\n', '*3\r\n:1\r\n']) {
      const lines = await redisLines(await serve(answer));
      expect(lines.filter(line => line.startsWith('problem')).length).toBeGreaterThan(0);
    }
  });

  it('names a URL that is none, without what is in it', async () => {
    const findings = await findingsOf({ redisUrl: `redis:/${PASSWORD}@h` }, PASSWORD);
    expect(linesOf(findings, 'redis')).toEqual([
      expect.stringMatching(/^problem url: HEADRACE_REDIS_URL must begin/),
    ]);
    const pem = await redisLines('rediss://127.0.0.1:1?ca=/no/such/file');
    expect(pem.at(-1)).toMatch(/^problem servers: the file of the parameter ca cannot be read/);
  });

  it('names a URL of the wrong mode, and the right one', async () => {
    const server = await start(...RECORD);
    for (const [mode, path] of [
      ['cluster', ''],
      ['sentinel', '/mymaster'],
    ]) {
      const findings = await findingsOf({ redisUrl: `redis+${mode}://127.0.0.1:${server.port}${path}` });
      expect(linesOf(findings, 'redis').at(-1)).toBe(
        `problem mode: HEADRACE_REDIS_URL takes it for ${mode}, it is standalone`,
      );
      expect(changesOf(findings, 'redis')['mode']).toContain(
        `HEADRACE_REDIS_URL=redis://127.0.0.1:${server.port}/`,
      );
    }
  });
});

describeWithRedis('doctor, of Sentinel', () => {
  let sentinel: RedisTestSentinel;
  beforeAll(async () => {
    sentinel = await RedisTestSentinel.start();
  });
  afterAll(() => sentinel?.close());

  it('finds the master behind it', async () => {
    const lines = await redisLines(sentinel.url, AS_CACHE);
    expect(lines).toContainEqual(expect.stringMatching(/^ok masters: .* for mymaster, and could fail over/));
    expect(lines.filter(line => line.startsWith('problem'))).toEqual([]);
    expect(lines.at(-1)).toMatch(/^ok latency/);
  });

  it('names a master that the Sentinels do not know, and a Sentinel taken for a server', async () => {
    const unknown = await redisLines(sentinel.url.replace('mymaster', 'other'));
    expect(unknown.at(-1)).toBe("problem masters: the Sentinels know no master 'other'; they know: mymaster");
    const plain = await redisLines(sentinel.sentinel.url);
    expect(plain.at(-1)).toBe('problem mode: HEADRACE_REDIS_URL takes it for standalone, it is sentinel');
  });
});

describeWithRedis('doctor, of a cluster', () => {
  let cluster: RedisTestCluster;
  beforeAll(async () => {
    cluster = await RedisTestCluster.start();
  });
  afterAll(() => cluster?.close());

  it('asks every master', async () => {
    const lines = await redisLines(cluster.url);
    expect(lines).toContain('ok masters: state ok, 16384 of 16384 slots on 3 masters');
    expect(lines).toContain(
      'ok version: Redis 7.0.15 (each of 3 servers)'.replace('7.0.15', await version()),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^ok access: /));
    expect(lines).toContainEqual(expect.stringMatching(/^ok tracking: .* \(each of 3 servers\)/));
    expect(lines).toContainEqual(expect.stringMatching(/^problem persistence: .* \(each of 3 servers\)/));
  });

  const version = async () => /redis_version:(\S+)/.exec(await cluster.at(0).admin.info('server'))?.[1] ?? '';

  it('taken for one server is a problem, and the URL that it says to take is right', async () => {
    const findings = await findingsOf({ redisUrl: cluster.at(0).url, ...AS_CACHE });
    expect(linesOf(findings, 'redis').at(-1)).toMatch(
      /^problem mode: .* takes it for standalone, it is cluster/,
    );
    const [, redisUrl = ''] =
      /HEADRACE_REDIS_URL=(.*)/.exec(changesOf(findings, 'redis')['mode'] ?? '') ?? [];
    expect((await redisLines(redisUrl, AS_CACHE)).at(-1)).toMatch(/^ok latency/);
  });

  it('names the one master that differs, also when it is full', async () => {
    const { admin, port } = cluster.at(1);
    await admin.config('SET', 'maxmemory', '500kb');
    try {
      const lines = await redisLines(cluster.url);
      expect(lines).toContainEqual(expect.stringMatching(/^problem access: .*out of memory/));
      const memory = await redisLines(cluster.url, AS_CACHE);
      expect(memory).toContainEqual(expect.stringMatching(/^warning memory: no maxmemory/));
      await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
      expect(await redisLines(cluster.url)).toContainEqual(
        expect.stringMatching(new RegExp(`^problem memory: .* \\(127.0.0.1:${port}\\)$`)),
      );
    } finally {
      await admin.config('SET', 'maxmemory', '0');
      await admin.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });

  it('with a node that nobody answers at is a warning while others do', async () => {
    const lines = await redisLines(`${cluster.url},127.0.0.1:${await freePort()}`, AS_CACHE);
    expect(lines).toContainEqual(
      expect.stringMatching(/^warning servers: .*nothing listens there.*; 6 others answer/),
    );
    expect(lines.at(-1)).toMatch(/^ok latency/);
  });

  it('with a slot that nobody serves is a problem', async () => {
    const { admin } = cluster.at(0);
    await admin.call('CLUSTER', 'DELSLOTS', 7);
    try {
      const lines = await redisLines(`redis+cluster://127.0.0.1:${cluster.at(0).port}`, AS_CACHE);
      expect(lines).toContainEqual(
        expect.stringMatching(/^problem masters: state \w+, 16383 of 16384 slots/),
      );
    } finally {
      await admin.call('CLUSTER', 'ADDSLOTS', 7);
    }
  });
});
