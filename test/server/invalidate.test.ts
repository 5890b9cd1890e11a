/** `POST /v1/views/{view}/invalidate` over HTTP: copies are dropped, records stay. */
import { expect, test } from 'vitest';
import { recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

const IDS = ['user:1:42', 'user:2:42', 'user:1:43', 'doc:1', 'doc:12', '*', 'ü:42'];

onBothFronts('invalidations', subject => {
  /** IDs whose next read was a miss; it makes them hits again. */
  async function missing(view: string): Promise<string[]> {
    const missed: string[] = [];
    for (const id of IDS) {
      const path = recordPath(view, id);
      const first = await subject.api.get(path);
      expect([id, first.status]).toEqual([id, 200]);
      if (first.headers['cache-status'] === 'headrace; fwd=miss; detail=L3') missed.push(id);
      const second = await subject.api.get(path);
      expect(second.headers['cache-status']).toMatch(/^headrace; hit; ttl=\d+; detail=L1$/);
      expect(second.text).toBe(first.text);
    }
    return missed;
  }

  async function filled(): Promise<string> {
    const view = await subject.view({ n: 'int64' });
    const lines = IDS.map((id, n) => JSON.stringify({ id, features: { n }, tags: [`n:${n % 2}`, 'all'] }));
    expect((await subject.api.load(view, lines.join('\n'))).json()).toMatchObject({ applied: IDS.length });
    expect(await missing(view)).toEqual([]);
    return view;
  }

  test.each([
    [{ ids: ['doc:1', 'none', 'doc:1', '*'] }, ['doc:1', '*']],
    [{ ids: ['none'] }, []],
    [{ prefix: 'doc:1' }, ['doc:1', 'doc:12']],
    [{ prefix: 'ü' }, ['ü:42']],
    [{ prefix: '*' }, ['*']],
    [{ prefix: 'doc:123' }, []],
    [{ tags: ['n:1'] }, IDS.filter((_, n) => n % 2 === 1)],
    [{ tags: ['none', 'all'] }, IDS],
    [{ tags: ['al'] }, []],
    [{ pattern: 'user:*:42' }, ['user:1:42', 'user:2:42']],
    [{ pattern: '*42' }, ['user:1:42', 'user:2:42', 'ü:42']],
    [{ pattern: 'doc:1' }, ['doc:1']],
    [{ pattern: '*' }, IDS],
    [{ pattern: `${'*'.repeat(1000)}:12` }, ['doc:12']],
    [{ all: true }, IDS],
  ] as const)('%j drops what it names, and the next read is a miss, then a hit', async (body, dropped) => {
    const view = await filled();
    const other = await filled();
    const answer = await subject.api.post(`/v1/views/${view}/invalidate`, body);
    expect([answer.status, answer.json()]).toEqual([200, { invalidated: dropped.length }]);
    expect(await missing(view)).toEqual(dropped);
    expect(await missing(other)).toEqual([]);
  });

  test('that are none name what is wrong', async () => {
    const { api } = subject;
    const view = await subject.view({ n: 'int64' });
    const cases = [
      ['{}', ['the body']],
      ['[]', ['the body']],
      ['true', ['the body']],
      ['{"all":true,"prefix":"x"}', ['the body']],
      ['{"all":false}', ['all']],
      ['{"all":"true"}', ['all']],
      ['{"ids":[]}', ['ids']],
      ['{"ids":"x"}', ['ids']],
      ['{"prefix":""}', ['prefix']],
      [`{"prefix":"${'x'.repeat(513)}"}`, ['prefix']],
      ['{"prefix":["x"]}', ['prefix']],
      ['{"tags":[]}', ['tags']],
      ['{"tags":["",1]}', ['tags[0]', 'tags[1]']],
      [`{"tags":["${'é'.repeat(129)}"]}`, ['tags[0]']],
      [JSON.stringify({ tags: Array(65).fill('x') }), ['tags']],
      ['{"pattern":""}', ['pattern']],
      [`{"pattern":"${'x'.repeat(1025)}"}`, ['pattern']],
      ['{"patern":"x"}', ['patern', 'the body']],
      ['{"__proto__":{"all":true}}', ['__proto__', 'the body']],
    ] as const;
    for (const [body, places] of cases) {
      const answer = await api.post(`/v1/views/${view}/invalidate`, body);
      expect([body.slice(0, 80), placesOf(expectProblem(answer, 422, 'invalid-invalidation'))]).toEqual([
        body.slice(0, 80),
        places,
      ]);
    }
    const limits = [
      { prefix: 'x'.repeat(512) },
      { pattern: 'x'.repeat(1024) },
      { tags: Array(64).fill('é'.repeat(128)) },
    ];
    for (const body of limits)
      expect((await api.post(`/v1/views/${view}/invalidate`, body)).status).toBe(200);
    const ids = Array.from({ length: 10_001 }, (_, n) => `${n}`);
    expectProblem(await api.post(`/v1/views/${view}/invalidate`, { ids }), 413, 'too-many-ids');
    expect((await api.post(`/v1/views/${view}/invalidate`, { ids: ids.slice(1) })).json()).toEqual({
      invalidated: 0,
    });
    expectProblem(await api.post(`/v1/views/${view}/invalidate`, '{"all":true'), 400, 'bad-json');
  });
});
