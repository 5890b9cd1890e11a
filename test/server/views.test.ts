/** `/v1/views` over HTTP: declaring, growing, refusing, dropping. */
import { expect, test } from 'vitest';
import { recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf, viewBody } from './both-fronts.js';

onBothFronts('views', subject => {
  test('are declared once, shown and listed', async () => {
    const { api } = subject;
    const features = { rank: 'float32', title: 'string', embedding: 'float32[384]' };
    const body = viewBody(features, { ttl: '24h' });
    const created = await api.put('/v1/views/docs', body);
    expect([created.status, created.json()]).toEqual([201, { view: 'docs', schema: 1 }]);
    expect(created.headers['content-type']).toBe('application/json');
    const again = await api.put('/v1/views/docs', body);
    expect([again.status, again.json()]).toEqual([200, { view: 'docs', schema: 1 }]);
    const shown = {
      view: 'docs',
      entity: 'doc',
      ttl: '1d',
      features,
      schema: 1,
      l1: { eviction: 's3-fifo' },
    };
    const show = await api.get('/v1/views/docs');
    expect([show.status, { ...(show.json() as object), ttl: '1d' }]).toEqual([200, shown]);
    const list = await api.get('/v1/views');
    expect(list.json()).toEqual({ views: [show.json()] });
    for (const path of ['/v1/views', '/v1/views/docs']) {
      const head = await api.head(path);
      expect([head.status, head.bytes.length]).toEqual([200, 0]);
      expect(Number(head.headers['content-length'])).toBe((await api.get(path)).bytes.length);
    }
  });

  test('have a default ttl by entity', async () => {
    const { api } = subject;
    for (const [entity, ttl] of [
      ['doc', '1h'],
      ['user', '24h'],
      ['users', '24h'],
      ['query', '1h'],
    ] as const) {
      const view = await subject.view({ a: 'bool' }, { entity });
      const shown = (await api.get(`/v1/views/${view}`)).json() as { ttl: string };
      expect([entity, shown.ttl === '1d' ? '24h' : shown.ttl]).toEqual([entity, ttl]);
    }
  });

  test('grow at the end; old records read as null there', async () => {
    const { api } = subject;
    const old = { a: 'float32', b: 'string' };
    const view = await subject.view(old);
    await api.put(recordPath(view, 'old'), { features: { a: 0.5, b: 'x' }, version: 1 });
    const added = {
      bool: 'bool',
      int: 'int64',
      f32: 'float32',
      f64: 'float64',
      s: 'string',
      by: 'bytes',
      e: 'float32[3]',
    };
    const grown = await api.put(`/v1/views/${view}`, viewBody({ ...old, ...added }));
    expect([grown.status, grown.json()]).toEqual([200, { view, schema: 2 }]);
    const nulls = { bool: null, int: null, f32: null, f64: null, s: null, by: null, e: null };
    const read = (await api.get(recordPath(view, 'old'))).json();
    expect(read).toEqual({ view, id: 'old', version: 1, features: { a: 0.5, b: 'x', ...nulls } });
    const some = (await api.get(`${recordPath(view, 'old')}?features=e,a`)).json();
    expect(some).toMatchObject({ features: { e: null, a: 0.5 } });
    const looked = (
      await api.post(`/v1/views/${view}/lookup`, { ids: ['old'], features: ['e', 'by', 'a'] })
    ).json();
    expect(looked).toMatchObject({ statuses: ['PRESENT'], columns: [[null], [null], [0.5]] });
    await api.put(recordPath(view, 'new'), { features: { a: 1, f32: 2, e: [1, 2, 3] }, version: 1 });
    expect((await api.get(`${recordPath(view, 'new')}?features=f32,e,b`)).json()).toMatchObject({
      features: { f32: 2, e: [1, 2, 3], b: null },
    });
    // The old definition is no longer the view's: it lacks features.
    const back = await api.put(`/v1/views/${view}`, viewBody(old));
    expect(placesOf(expectProblem(back, 409, 'view-conflict'))).toEqual(
      Object.keys(added).map(name => `features.${name}`),
    );
  });

  test('refuse every other change of features, and name each', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', b: 'string', c: 'float32[2]' });
    const cases = [
      [{ a: 'float64', b: 'string', c: 'float32[2]' }, ['features.a']],
      [{ a: 'float32', b: 'string', c: 'float32[3]' }, ['features.c']],
      [{ b: 'string', a: 'float32', c: 'float32[2]' }, ['features.a', 'features.b']],
      [{ x: 'bool' }, ['features.a', 'features.b', 'features.c']],
      [{ a: 'float32', x: 'bool', b: 'string', c: 'float32[2]' }, ['features.b', 'features.c']],
      [{ a: 'bytes', b: 'bytes', c: 'bytes', d: 'bool' }, ['features.a', 'features.b', 'features.c']],
    ] as const;
    for (const [features, places] of cases) {
      const problem = expectProblem(
        await api.put(`/v1/views/${view}`, viewBody(features)),
        409,
        'view-conflict',
      );
      expect(placesOf(problem)).toEqual(places);
      expect(problem.detail).toContain(view);
    }
    expect((await api.get(`/v1/views/${view}`)).json()).toMatchObject({
      schema: 1,
      features: { c: 'float32[2]' },
    });
  });

  test('take another ttl, entity or share of L1 without a new schema', async () => {
    const { api } = subject;
    const features = { a: 'float32' };
    const view = await subject.view(features);
    await api.put(recordPath(view, 'x'), { features: { a: 1 } });
    const cases = [
      [{ ttl: '15m' }, { ttl: '15m' }],
      [{ entity: 'page' }, { entity: 'page', ttl: '1h' }],
      [{ l1: { bytes: '1MiB', eviction: 'lru' } }, { l1: { bytes: 1_048_576, eviction: 'lru' } }],
      [{ l1: { bytes: 131072 } }, { l1: { bytes: 131_072, eviction: 's3-fifo' } }],
      [{ l1: { eviction: 'ttl' } }, { l1: { eviction: 'ttl' } }],
      [{}, { entity: 'doc', ttl: '1h', l1: { eviction: 's3-fifo' } }],
    ] as const;
    for (const [options, shown] of cases) {
      const changed = await api.put(`/v1/views/${view}`, viewBody(features, options));
      expect([changed.status, changed.json()]).toEqual([200, { view, schema: 1 }]);
      expect((await api.get(`/v1/views/${view}`)).json()).toMatchObject(shown);
      expect((await api.get(recordPath(view, 'x'))).json()).toMatchObject({ features: { a: 1 } });
    }
  });

  test('keep the order of features, also of those named like numbers', async () => {
    const { api } = subject;
    const features = [
      ['10', 'float32'],
      ['2', 'float32'],
      ['1', 'float32'],
      ['__proto__', 'float32'],
    ] as const;
    const view = await subject.view(features);
    await api.put(recordPath(view, 'x'), '{"version":1,"features":{"1":1,"2":2,"10":10,"__proto__":4}}');
    expect((await api.get(recordPath(view, 'x'))).text).toBe(
      `{"view":"${view}","id":"x","version":1,"features":{"10":10,"2":2,"1":1,"__proto__":4}}`,
    );
    expect((await api.get(`${recordPath(view, 'x')}?features=2,__proto__,10`)).text).toContain(
      '"features":{"2":2,"__proto__":4,"10":10}',
    );
    expect((await api.get(`/v1/views/${view}`)).text).toContain(
      '"features":{"10":"float32","2":"float32","1":"float32","__proto__":"float32"}',
    );
    const looked = await api.post(`/v1/views/${view}/lookup`, { ids: ['x'] });
    expect(looked.json()).toMatchObject({
      features: ['10', '2', '1', '__proto__'],
      columns: [[10], [2], [1], [4]],
    });
    const moved = features.toReversed();
    expectProblem(await api.put(`/v1/views/${view}`, viewBody(moved)), 409, 'view-conflict');
  });

  test('are gone with their records when they are deleted', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    await api.put(recordPath(view, 'x'), { features: { a: 1 }, version: 5 });
    const gone = await api.delete(`/v1/views/${view}`);
    expect([gone.status, gone.bytes.length]).toEqual([204, 0]);
    expectProblem(await api.delete(`/v1/views/${view}`), 404, 'view-not-found');
    expectProblem(await api.get(recordPath(view, 'x')), 404, 'view-not-found');
    expectProblem(await api.put(recordPath(view, 'x'), { features: {} }), 404, 'view-not-found');
    expectProblem(await api.load(view, '{}'), 404, 'view-not-found');
    expectProblem(await api.post(`/v1/views/${view}/lookup`, { ids: ['x'] }), 404, 'view-not-found');
    expectProblem(await api.post(`/v1/views/${view}/invalidate`, { all: true }), 404, 'view-not-found');
    // Of the same name again, and other features: an older version is no obstacle, it was another view's.
    expect((await api.put(`/v1/views/${view}`, viewBody({ b: 'string' }))).status).toBe(201);
    expectProblem(await api.get(recordPath(view, 'x')), 404, 'record-not-found');
    const written = await api.put(recordPath(view, 'x'), { features: { b: 'y' }, version: 1 });
    expect(written.json()).toEqual({ id: 'x', version: 1, applied: true });
  });

  test('named like what every object has are views like any other', async () => {
    const { api } = subject;
    for (const name of ['__proto__', 'constructor', 'toString', '_', 'a.b-c_D9', 'n'.repeat(64)]) {
      expectProblem(await api.get(`/v1/views/${name}`), 404, 'view-not-found');
      expect((await api.put(`/v1/views/${name}`, viewBody([['constructor', 'bool']]))).status).toBe(201);
      expect((await api.get(`/v1/views/%${name.charCodeAt(0).toString(16)}${name.slice(1)}`)).status).toBe(
        200,
      );
      expect((await api.put(recordPath(name, 'x'), { features: {} })).json()).toMatchObject({
        applied: true,
      });
      expect((await api.delete(`/v1/views/${name}`)).status).toBe(204);
    }
  });

  test('with a name that is none are refused', async () => {
    const { api } = subject;
    for (const name of ['', '9a', '-a', 'a%2Fb', 'a%20b', 'a%00', '%C3%A9', '.', '..', 'n'.repeat(65)]) {
      expectProblem(await api.put(`/v1/views/${name}`, viewBody({ a: 'bool' })), 400, 'bad-name');
    }
    expectProblem(await api.put('/v1/views/a%zz', viewBody({ a: 'bool' })), 400, 'bad-encoding');
    expectProblem(await api.put('/v1/views/a%FF', viewBody({ a: 'bool' })), 400, 'bad-encoding');
  });

  test('that are no views say every problem with its place', async () => {
    const { api } = subject;
    const many = Object.fromEntries(Array.from({ length: 4097 }, (_, n) => [`f${n}`, 'bool']));
    const cases = [
      ['{}', ['entity', 'features']],
      ['[]', ['the body']],
      ['null', ['the body']],
      ['{"entity":1,"features":[]}', ['entity', 'features']],
      ['{"entity":"doc","features":{}}', ['features']],
      [
        '{"entity":"9","features":{"a b":"bool","b":"float","c":5,"d":"float32[0]","e":"float32[8193]"}}',
        ['entity', 'features.a b', 'features.b', 'features.c', 'features.d', 'features.e'],
      ],
      [
        '{"entity":"doc","features":{"a":"bool"},"ttl":"5","l1":{"bytes":1,"eviction":"best","x":1},"y":2,"__proto__":3}',
        ['ttl', 'l1.bytes', 'l1.eviction', 'l1.x', 'y', '__proto__'],
      ],
      ['{"entity":"doc","features":{"a":"bool"},"ttl":3600}', ['ttl']],
      ['{"entity":"doc","features":{"a":"bool"},"ttl":"0s"}', ['ttl']],
      [`{"entity":"doc","features":{"${'f'.repeat(129)}":"bool"}}`, [`features.${'f'.repeat(128)}…`]],
      [viewBody(many), ['features']],
    ] as const;
    for (const [body, places] of cases) {
      const problem = expectProblem(await api.put('/v1/views/wrong', body), 422, 'invalid-view');
      expect([body.slice(0, 200), placesOf(problem).sort()]).toEqual([
        body.slice(0, 200),
        [...places].sort(),
      ]);
    }
    const twice = await api.put('/v1/views/wrong', '{"entity":"doc",\n"features":{"a":"bool","a":"bool"}}');
    expect(placesOf(expectProblem(twice, 400, 'bad-json'))).toEqual(['line 2, column 24']);
    expectProblem(await api.get('/v1/views/wrong'), 404, 'view-not-found');
  });

  test('race to be declared: one creates, the others find it', async () => {
    const { api } = subject;
    const bodies = [viewBody({ a: 'bool' }), viewBody({ a: 'int64' })];
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, n) => api.put('/v1/views/raced', bodies[n % 2])),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array(7).fill(200), 201, ...Array(8).fill(409)]);
  });
});

onBothFronts(
  'the limit of views',
  subject => {
    test('is 429 when passed, and a deleted view makes room', async () => {
      const { api } = subject;
      for (let n = 0; n < 3; n++) await subject.view({ a: 'bool' });
      const problem = expectProblem(
        await api.put('/v1/views/more', viewBody({ a: 'bool' })),
        429,
        'too-many-views',
      );
      expect(problem.detail).toContain('HEADRACE_VIEWS_MAX');
      expect((await api.delete('/v1/views/view-1')).status).toBe(204);
      expect((await api.put('/v1/views/more', viewBody({ a: 'bool' }))).status).toBe(201);
    });
  },
  { HEADRACE_VIEWS_MAX: '3' },
);
