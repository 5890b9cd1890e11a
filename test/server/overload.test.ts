/** Limits that depend on load, time and disk: who passes them is told so, and the next one is served. */
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { type Answer, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, viewBody } from './both-fronts.js';

const VIEW = viewBody({ n: 'int64' });

onBothFronts(
  'a full queue',
  subject => {
    test('is 503 with Retry-After for writes and reads, and UNAVAILABLE in lookups', async () => {
      const { api } = subject;
      await api.put('/v1/views/docs', VIEW);
      const path = (n: number) => recordPath('docs', `x${n}`);
      const all = <T>(ask: (n: number) => Promise<T>) =>
        Promise.all(Array.from({ length: 64 }, (_, n) => ask(n)));
      const put = (n: number) => api.put(path(n), { features: { n }, version: n + 1 });
      const writes = await all(put);
      const refused = writes.filter(({ status }) => status !== 200);
      expect(refused.length).toBeGreaterThan(0);
      for (const answer of refused) {
        expectProblem(answer, 503, 'overloaded');
        expect(answer.headers['retry-after']).toBe('1');
      }
      // What was refused was not written, what was acknowledged was.
      for (const [n, { status }] of writes.entries())
        expect([n, (await api.get(path(n))).status]).toEqual([n, status === 200 ? 200 : 404]);
      for (const [n, { status }] of writes.entries())
        if (status !== 200) expect((await put(n)).json()).toMatchObject({ applied: true });
      await api.post('/v1/views/docs/invalidate', { all: true });
      const reads = await all(n => api.get(path(n)));
      for (const answer of reads) if (answer.status !== 200) expectProblem(answer, 503, 'overloaded');
      const lookups = await all(n => api.post('/v1/views/docs/lookup', { ids: [`none${n}`, `x${n}`] }));
      for (const answer of lookups) expectHonest(answer);
      expect((await api.post('/v1/views/docs/lookup', { ids: ['x0'] })).json()).toMatchObject({
        columns: [[0]],
      });
    });
  },
  { HEADRACE_QUEUE_MAX: '1', HEADRACE_LANES: '1' },
);

/** A lookup never fails: rows that nobody could ask for are UNAVAILABLE, and Cache-Status says why. */
function expectHonest(answer: Answer): void {
  expect(answer.status).toBe(200);
  const { statuses } = answer.json() as { statuses: string[] };
  expect(statuses[0]).toMatch(/^(NOT_FOUND|UNAVAILABLE)$/);
  const detail = statuses.includes('UNAVAILABLE') ? 'overloaded' : 'L3';
  expect(answer.headers['cache-status']).toBe(`headrace; fwd=partial; detail=${detail}`);
}

const { bavail, bsize } = statfsSync(tmpdir());
const tooMuchIsFree = bavail * bsize >= 2 ** 40;

onBothFronts(
  'a full disk',
  subject => {
    test.skipIf(tooMuchIsFree)(
      'refuses writes and loads with 507, and still serves reads (needs less than 1 TiB free)',
      async () => {
        const { api } = subject;
        // The catalog of views is small, and kept all the same.
        expect((await api.put('/v1/views/docs', VIEW)).status).toBe(201);
        const put = await api.put(recordPath('docs', 'x'), { features: { n: 1 } });
        expectProblem(put, 507, 'disk-full');
        const loaded = await api.load(
          'docs',
          '{"id":"x","features":{"n":1}}\n{"id":"y","features":{"n":1}}\n',
        );
        expect(expectProblem(loaded, 507, 'disk-full').detail).toContain('0 records were taken before it');
        expectProblem(await api.get(recordPath('docs', 'x')), 404, 'record-not-found');
        const looked = await api.post('/v1/views/docs/lookup', { ids: ['x'] });
        expect(looked.json()).toMatchObject({ statuses: ['NOT_FOUND'] });
      },
    );
  },
  { HEADRACE_DISK_FREE_MIN: '1TiB' },
);

onBothFronts(
  'a deadline of a millisecond',
  subject => {
    test('is 504 for writes that take longer, and a later write finds what became of them', async () => {
      const { api } = subject;
      await api.put('/v1/views/docs', VIEW);
      const answers: Answer[] = [];
      // A hundred at a time, so that also a fast disk has more to do than a millisecond allows.
      while (!answers.some(({ status }) => status === 504)) {
        const put = (version: number) =>
          api.put(recordPath('docs', 'x'), { features: { n: version - 1 }, version });
        const first = answers.length + 1;
        answers.push(...(await Promise.all(Array.from({ length: 100 }, (_, n) => put(first + n)))));
      }
      for (const answer of answers) if (answer.status !== 200) expectProblem(answer, 504, 'deadline');
      // Nobody knows whether it was applied, but never half: what is read is one of the writes.
      for (;;) {
        const read = await api.get(recordPath('docs', 'x'));
        if (read.status === 504) continue;
        if (read.status === 404) break;
        const { version, features } = read.json() as { version: number; features: { n: number } };
        expect(features.n).toBe(version - 1);
        break;
      }
    });
  },
  { HEADRACE_DEADLINE: '1ms' },
);
