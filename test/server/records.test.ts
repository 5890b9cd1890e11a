/** `/v1/views/{view}/records/{id}` over HTTP: what a client reads after what it wrote. */
import { expect, test } from 'vitest';
import { type Answer, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf, untilAnswer } from './both-fronts.js';

onBothFronts('records', subject => {
  test('are there once they are written, and 404 before', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', s: 'string' });
    const path = recordPath(view, 'x');
    const before = await api.get(path);
    expect(expectProblem(before, 404, 'record-not-found').detail).toContain(view);
    expect(before.headers['cache-status']).toBe('headrace; fwd=miss; detail=L3');
    expect((await api.head(path)).status).toBe(404);
    const put = await api.put(path, { features: { a: 0.5, s: null }, version: 7, ttl: '1h' });
    expect([put.status, put.json()]).toEqual([200, { id: 'x', version: 7, applied: true }]);
    const get = await api.get(path);
    expect([get.status, get.json()]).toEqual([
      200,
      { view, id: 'x', version: 7, features: { a: 0.5, s: null } },
    ]);
    expect(get.headers['content-type']).toBe('application/json');
    expect(get.headers['cache-status']).toMatch(/^headrace; hit; ttl=3(599|600); detail=L1$/);
    const head = await api.head(path);
    expect([head.status, head.bytes.length]).toEqual([200, 0]);
    expect(Number(head.headers['content-length'])).toBe(get.bytes.length);
  });

  test('are replaced whole', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', s: 'string' });
    const path = recordPath(view, 'x');
    await api.put(path, { features: { a: 1, s: 'one' } });
    await api.put(path, { features: { s: 'two' } });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: null, s: 'two' } });
    await api.put(path, { features: {} });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: null, s: null } });
  });

  test('with the features that are asked for, in that order', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', b: 'float32', c: 'float32' });
    const path = recordPath(view, 'x');
    await api.put(path, { features: { a: 1, b: 2, c: 3 }, version: 1 });
    expect((await api.get(`${path}?features=c,a`)).text).toContain('"features":{"c":3,"a":1}');
    expect((await api.get(`${path}?features=%62`)).text).toContain('"features":{"b":2}');
    const wrong = expectProblem(await api.get(`${path}?features=a,x,y,a`), 400, 'bad-query');
    expect(placesOf(wrong)).toEqual(['features[1]', 'features[2]', 'features[3]']);
    for (const query of ['features=', 'feature=a', 'features=a&features=b', 'features=%ff', 'x']) {
      expectProblem(await api.get(`${path}?${query}`), 400, 'bad-query');
      expect((await api.head(`${path}?${query}`)).status).toBe(400);
    }
    expect((await api.get(`${path}?`)).status).toBe(200);
  });

  test('are gone once they are deleted, also from shared memory', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    const path = recordPath(view, 'x');
    await api.put(path, { features: { a: 1 } });
    const gone = await api.delete(path);
    expect([gone.status, gone.bytes.length]).toEqual([204, 0]);
    for (let times = 0; times < 2; times++) {
      expectProblem(await api.get(path), 404, 'record-not-found');
      expect((await api.head(path)).status).toBe(404);
      const packed = await api.get(path, { accept: 'application/vnd.headrace.flatbuffers' });
      expectProblem(packed, 404, 'record-not-found');
      const looked = await api.post(`/v1/views/${view}/lookup`, { ids: ['x'] });
      expect(looked.json()).toMatchObject({ statuses: ['NOT_FOUND'], versions: [null], columns: [[null]] });
      await api.post(`/v1/views/${view}/invalidate`, { all: true });
    }
    expect((await api.delete(path)).status).toBe(204);
    expect((await api.delete(recordPath(view, 'never-there'))).status).toBe(204);
    expect((await api.put(path, { features: { a: 2 } })).json()).toMatchObject({ applied: true });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: 2 } });
  });

  test('expire', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' }, { ttl: '1ms' });
    const gone = (answer: Answer) => answer.status === 404;
    await api.put(recordPath(view, 'short'), { features: { a: 1 }, ttl: '40ms' });
    await api.put(recordPath(view, 'by-view'), { features: { a: 1 } });
    await api.put(recordPath(view, 'long'), { features: { a: 1 }, ttl: '7d' });
    for (const id of ['short', 'by-view']) {
      expectProblem(await untilAnswer(() => api.get(recordPath(view, id)), gone), 404, 'record-not-found');
      expect((await api.head(recordPath(view, id))).status).toBe(404);
    }
    const looked = await api.post(`/v1/views/${view}/lookup`, { ids: ['short', 'long', 'by-view'] });
    expect(looked.json()).toMatchObject({ statuses: ['NOT_FOUND', 'PRESENT', 'NOT_FOUND'] });
    const long = await api.get(recordPath(view, 'long'));
    expect(long.headers['cache-status']).toMatch(/; ttl=6047\d\d;|; ttl=604800;/);
    expect(
      (await api.put(recordPath(view, 'short'), { features: { a: 2 }, ttl: '1h' })).json(),
    ).toMatchObject({
      applied: true,
    });
    expect((await api.get(recordPath(view, 'short'))).json()).toMatchObject({ features: { a: 2 } });
  });
});
