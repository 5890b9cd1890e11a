/** Batches: many keys in one POST, each result by itself. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TierRefusal } from '../../src/base/tier.js';
import { type BatchItem, parseBatchReply } from '../../src/tiers/origin-batch-reply.js';
import { eventually } from '../support/redis-server.js';
import { expectRefusal, failureOf, OriginServer, type OriginSetup, textOf } from './origin-fixture.js';

const later = (ms: number) => Date.now() + ms;

describe('a batch endpoint', () => {
  let server: OriginServer;
  beforeEach(async () => {
    server = await OriginServer.start();
    server.answer = (response, { body }) => {
      const { keys } = JSON.parse(body) as { keys: string[] };
      response.end(JSON.stringify({ values: Object.fromEntries(keys.map(key => [key, [key.length]])) }));
    };
  });
  afterEach(() => server.close());

  const batching = (setup: OriginSetup = {}) => server.origin({ path: '/embed', pauseMs: 1, ...setup });
  const keysOf = () => server.asked.map(({ body }) => (JSON.parse(body) as { keys: string[] }).keys);

  it('is asked once for what is missed within its window', async () => {
    const origin = batching({ batch: { windowMs: 20 } });
    const keys = ['a', 'bb', 'Ünï', '"\\\n', '__proto__', '{key}', '../x'];
    const values = await Promise.all(keys.map(key => origin.fetch(key)));
    expect(values.map(textOf)).toEqual(keys.map(key => `[${key.length}]`));
    expect(keysOf()).toEqual([keys]);
    expect(server.asked[0]).toMatchObject({
      path: '/embed',
      headers: { 'content-type': 'application/json' },
    });
    expect(textOf(await origin.fetch('later'))).toBe('[5]');
    expect(origin.figures()).toMatchObject({ batches: 2, attempts: 2, waiting: 0 });
  });

  it('is asked for a key once, however many ask', async () => {
    const origin = batching({ batch: { windowMs: 20 } });
    const values = await Promise.all(['a', 'a', 'b', 'a'].map(key => origin.fetch(key)));
    expect(values.map(textOf)).toEqual(['[1]', '[1]', '[1]', '[1]']);
    expect(keysOf()).toEqual([['a', 'b']]);
  });

  it('is asked at once when a batch has its keys or its bytes', async () => {
    const byKeys = batching({ connections: 1, batch: { windowMs: 60_000, keysMax: 3 } });
    await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(key => byKeys.fetch(key)));
    expect(keysOf()).toEqual([
      ['a', 'b', 'c'],
      ['d', 'e', 'f'],
    ]);
    server.asked.length = 0;
    const byBytes = batching({ connections: 1, batch: { windowMs: 20, bytesMax: 30 } });
    const keys = ['x'.repeat(10), 'é'.repeat(8), 'y', 'z'.repeat(50)];
    await Promise.all(keys.map(key => byBytes.fetch(key)));
    expect(keysOf()).toEqual([[keys[0]], [keys[1], keys[2]], [keys[3]]]);
  });

  it('gives each key its own: a value, none, an error, or nothing at all', async () => {
    server.answer = response =>
      response
        .writeHead(200, { 'cache-control': 'max-age=9', age: '1' })
        .end(
          '{"values":{"a":{"n":12345678901234567890},"none":null,"other":1,"twice":1,"both":1,"twice":2},"errors":{"bad":"too long","both":"?","odd":7}}',
        );
    const origin = batching();
    const ask = (key: string) => origin.fetch(key);
    const failed = ['bad', 'hole', 'twice', 'both', 'odd'].map(ask);
    const failures = Promise.all(failed.map(failureOf));
    const [a, none] = await Promise.all(['a', 'none'].map(ask));
    expect(textOf(a)).toBe('{"n":12345678901234567890}');
    expect(a).toMatchObject({
      contentType: 'application/json',
      etag: '',
      cacheControl: 'max-age=9',
      ageMs: 1_000,
    });
    expect(none).toBeUndefined();
    const reasons = await failures;
    for (const error of reasons) expect(error).toBeInstanceOf(TierRefusal);
    expect(reasons.map(error => (error as Error).message)).toEqual([
      'the origin failed: too long',
      'the origin left the key out',
      'the origin answered twice for the key',
      'the origin answered twice for the key',
      'the origin failed for the key',
    ]);
    expect(server.asked).toHaveLength(1);
  });

  it('lets each hear at its own deadline, and waits for the most patient', async () => {
    let answer = () => {};
    server.answer = response => {
      answer = () => void response.end('{"values":{"a":1,"b":2}}');
    };
    const origin = batching();
    const patient = origin.fetch('b', later(30_000));
    expect(await failureOf(origin.fetch('a', later(200)))).toMatchObject({ code: 'deadline' });
    await eventually(() => server.asked.length === 1, 'the batch is asked for');
    answer();
    expect(textOf(await patient)).toBe('2');
  });

  it('is given up when all deadlines have passed', async () => {
    let closed = false;
    server.answer = response => {
      response.on('close', () => {
        closed = true;
      });
    };
    const origin = batching();
    const failures = await Promise.all(['a', 'b'].map(key => failureOf(origin.fetch(key, later(200)))));
    for (const error of failures) expect(error).toMatchObject({ code: 'deadline' });
    await eventually(() => closed, 'the connection is closed');
  });

  it('is asked again for the whole batch where that may help', async () => {
    const whole = server.answer;
    server.answer = (response, asked) => {
      if (server.asked.length === 1) response.socket?.resetAndDestroy();
      else if (server.asked.length === 2) response.writeHead(503).end();
      else whole(response, asked);
    };
    const origin = batching();
    expect((await Promise.all(['a', 'b'].map(key => origin.fetch(key)))).map(textOf)).toEqual(['[1]', '[1]']);
    expect(server.asked).toHaveLength(3);
  });

  it.each([
    ['no JSON', 200, 'oops', /cannot be read/],
    ['half of its JSON', 200, '{"values":{"a":1}', /cannot be read/],
    ['no object of values', 200, '{"values":[1]}', /cannot be read/],
    ['too deep a value', 200, `{"values":{"a":${'['.repeat(100)}${']'.repeat(100)}}}`, /cannot be read/],
    ['404', 404, '', /no batch endpoint/],
    ['400', 400, '', /the status 400/],
    ['204', 204, '', /cannot be read/],
  ])(
    'that answers with %s fails for each key, and is not asked again',
    async (_name, status, body, reason) => {
      server.answer = response => response.writeHead(status).end(body);
      const origin = batching();
      await Promise.all(['a', 'b'].map(key => expectRefusal(origin.fetch(key), reason)));
      expect(server.asked).toHaveLength(1);
    },
  );

  it('is not asked for what waits when it is closed', async () => {
    const origin = batching({ batch: { windowMs: 60_000 } });
    const failure = failureOf(origin.fetch('a'));
    await origin.close();
    expect(await failure).toMatchObject({ code: 'unavailable' });
    expect(server.asked).toHaveLength(0);
  });
});

describe('the answer to a batch', () => {
  const parse = (text: string) => parseBatchReply(Buffer.from(text), key => key.length === 1);
  const shownItem = (item: BatchItem) => (item instanceof Uint8Array ? Buffer.from(item).toString() : item);

  it('keeps each value as it was written, and nothing of the rest', () => {
    const items = parse(
      '{"model":{"x":[1,{}]}, "values" : { "a" : [1.50, 2e3] , "b":"\\u00e9", "c":false,"d":null,"long":1 }, "x":[true,"s"]}',
    );
    expect([...items].map(([key, item]) => [key, shownItem(item)])).toEqual([
      ['a', '[1.50, 2e3]'],
      ['b', '"\\u00e9"'],
      ['c', 'false'],
      ['d', null],
    ]);
    for (const item of items.values())
      if (item !== null) expect(item).toHaveProperty('buffer.byteLength', (item as Uint8Array).length);
  });
});
