/** Scores through the server: equal to those of whole numbers, in a fixed order, wherever the vectors are, also while they are written. */
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { PACKINGS, type Packing, pack, unpack } from '../../src/caches/embeddings/packing.js';
import { METRICS, type Metric } from '../../src/caches/embeddings/top-k.js';
import { SCORE_LIMITS } from '../../src/lookup/score-json.js';
import { FRONT_ELEMENTS_MAX } from '../../src/lookup/scoring.js';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { exactScore } from '../caches/embeddings/exact-scores.js';
import { anyVector, normalVector } from '../caches/embeddings/vectors.js';
import { ApiClient } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';
import {
  configured,
  DIMENSIONS,
  entryPath,
  getVector,
  type Line,
  load,
  putVector,
  type ScoreAnswer,
  STORAGES,
  score,
  scorePath,
  scoringFigures,
} from './embeddings.js';
import { type ServerProcess, startServerProcess } from './server-process.js';

/** More than the front scores itself. */
const MANY = Math.ceil(FRONT_ELEMENTS_MAX / DIMENSIONS) + 500;
const random = new Seeded(SEED);
const vector = () => normalVector(random, DIMENSIONS);
const ways = PACKINGS.flatMap(storage => METRICS.map(metric => ({ storage, metric })));
const env = configured(STORAGES);

interface Compared {
  readonly storage: Packing;
  readonly metric: Metric;
  readonly query: Float32Array;
  readonly candidates: readonly Line[];
  readonly k: number;
}

/** The matches are the best k, in order, each as exact as is promised. */
function expectExact({ storage, metric, query, candidates, k }: Compared, { matches }: ScoreAnswer): void {
  const sign = metric === 'l2' ? -1 : 1;
  const format = { packing: storage, dimensions: query.length };
  const exact = new Map(
    candidates.map(({ key, vector: given }) => [
      key,
      exactScore(metric, query, unpack(format, pack(format, given))),
    ]),
  );
  expect(matches.length).toBe(Math.min(k, candidates.length));
  let before = Number.POSITIVE_INFINITY;
  for (const { id, score: found } of matches) {
    const { score: wanted = Number.NaN, tolerance = 0 } = exact.get(id) ?? {};
    expect(Math.abs(found - wanted)).toBeLessThanOrEqual(tolerance);
    expect(found * sign).toBeLessThanOrEqual(before);
    before = found * sign;
  }
  const isMatch = new Set(matches.map(({ id }) => id));
  for (const { key } of candidates) {
    const { score: other = Number.NaN, tolerance = 0 } = exact.get(key) ?? {};
    if (!isMatch.has(key)) expect(other * sign - tolerance).toBeLessThanOrEqual(before);
  }
}

onBothFronts(
  'scores',
  subject => {
    test.each(ways)(
      'by $metric of $storage are exact, whatever the magnitudes',
      async ({ storage, metric }) => {
        const { api } = subject;
        const property = fc.asyncProperty(
          anyVector('float32', DIMENSIONS),
          fc.array(anyVector(storage, DIMENSIONS), { minLength: 1, maxLength: 20 }),
          fc.integer({ min: 1, max: 25 }),
          async (query, vectors, k) => {
            const candidates = vectors.map((given, n) => ({ key: `any ${n}`, vector: given }));
            await load(api, storage, candidates);
            const ids = candidates.map(({ key }) => key);
            const answer = await score(api, storage, { query: [...query], candidates: ids, k, metric });
            expectExact({ storage, metric, query, candidates, k }, answer);
          },
        );
        await fc.assert(property, { seed: SEED, numRuns: FULL ? 500 : 25 });
      },
    );

    test.each(PACKINGS)('of many candidates of %s are exact, and merged from all lanes', async storage => {
      const { api } = subject;
      const lines = Array.from({ length: MANY }, (_, n) => ({ key: `many ${n}`, vector: vector() }));
      await load(api, storage, lines);
      for (const [metric, count, k] of [
        ['dot', MANY, 10],
        ['l2', MANY, MANY],
        ['cosine', 300, 7],
        [undefined, 1, 10],
      ] as const) {
        const candidates = lines.slice(-count);
        const query = vector();
        const ids = candidates.map(({ key }) => key);
        const answer = await api.post(scorePath(storage), { query: [...query], candidates: ids, k, metric });
        expect([answer.status, answer.headers['cache-status']]).toEqual([200, 'headrace; hit; detail=L1']);
        const found = answer.json() as ScoreAnswer;
        expect([found.metric, found.missing, found.unavailable]).toEqual([metric ?? 'cosine', [], []]);
        expectExact({ storage, metric: metric ?? 'cosine', query, candidates, k }, found);
      }
    });

    test('that are equal are in the order of the candidates', async () => {
      const { api } = subject;
      const same = vector();
      const lines = Array.from({ length: MANY }, (_, n) => ({ key: `same ${n}`, vector: same }));
      await load(api, 'float16', lines);
      for (const count of [100, MANY]) {
        const candidates = lines.slice(0, count).map(({ key }) => key);
        // Not in the order in which they were put, and one of them again.
        candidates.reverse().push(candidates[3] ?? '');
        for (const metric of METRICS) {
          const question = { query: [...vector()], candidates, k: 50, metric };
          const { matches } = await score(api, 'float16', question);
          expect(matches.map(({ id }) => id)).toEqual(candidates.slice(0, 50));
        }
        const all = await score(api, 'float16', { queryId: 'same 0', candidates, k: count + 1 });
        expect(all.matches.map(({ id }) => id)).toEqual(candidates);
      }
    });

    test('leave out what is missing, and say so in the order of the candidates', async () => {
      const { api } = subject;
      const before = await scoringFigures(api, 'int8');
      await load(api, 'int8', [
        { key: 'a', vector: vector() },
        { key: 'gone', vector: vector() },
        { key: 'b', vector: vector() },
      ]);
      await api.delete(entryPath('int8', 'gone'));
      await api.request('PUT', entryPath('int8', 'old'), JSON.stringify([...vector()]), {
        'content-type': 'application/json',
        'cache-control': 'max-age=0, stale-while-revalidate=0, stale-if-error=600',
      });
      for (const filler of [0, MANY]) {
        const others = Array.from({ length: filler }, (_, n) => `none ${n}`);
        const candidates = ['z', 'b', 'gone', ...others, 'old', 'a', 'z', 'a'];
        const answer = await api.post(scorePath('int8'), { query: [...vector()], candidates });
        const found = answer.json() as ScoreAnswer;
        expect(found.matches.map(({ id }) => id).toSorted()).toEqual(['a', 'a', 'b']);
        expect(found.missing).toEqual(['z', 'gone', ...others, 'old', 'z']);
        expect(found.unavailable).toEqual([]);
        expect(answer.headers['cache-status']).toBe('headrace; fwd=partial; detail=L3');
      }
      expect(await scoringFigures(api, 'int8')).toEqual({
        questions: before.questions + 2,
        scored: before.scored + 6,
        missing: before.missing + 8 + MANY,
        unavailable: 0,
        malformed: 0,
      });
    });

    test('by the vector of an entry are those by the vector itself', async () => {
      const { api } = subject;
      const lines = Array.from({ length: 20 }, (_, n) => ({ key: `id ${n}`, vector: vector() }));
      await load(api, 'int8', lines);
      const candidates = lines.map(({ key }) => key);
      const byId = await score(api, 'int8', { queryId: 'id 7', candidates, metric: 'l2' });
      const query = [...(await getVector(api, 'int8', 'id 7'))];
      expect(await score(api, 'int8', { query, candidates, metric: 'l2' })).toEqual(byId);
      expect(byId.matches[0]).toEqual({ id: 'id 7', score: 0 });
      expectProblem(
        await api.post(scorePath('int8'), { queryId: 'none', candidates }),
        404,
        'entry-not-found',
      );
    });

    test('are refused when the question is wrong, which it says where', async () => {
      const { api } = subject;
      const query = Array<number>(DIMENSIONS).fill(1);
      const good = { query, candidates: ['a'] };
      const cases: readonly (readonly [unknown, readonly string[]])[] = [
        [{}, ['the body', 'candidates']],
        [[], ['the body']],
        [{ ...good, queryId: 'a' }, ['the body']],
        [{ query }, ['candidates']],
        [{ ...good, candidates: [] }, ['candidates']],
        [
          { ...good, candidates: ['', 1, 'x'.repeat(513)] },
          ['candidates[0]', 'candidates[1]', 'candidates[2]'],
        ],
        [{ ...good, query: [...query, 1] }, ['query']],
        [{ ...good, query: query.slice(1) }, ['query']],
        [{ ...good, query: 'a' }, ['query']],
        [
          { ...good, query: query.with(3, 1e39).map((n, at) => (at === 5 ? '5' : n)) },
          ['query[3]', 'query[5]'],
        ],
        [{ queryId: '', candidates: ['a'] }, ['queryId']],
        [{ ...good, k: 0 }, ['k']],
        [{ ...good, k: -1 }, ['k']],
        [{ ...good, k: 1.5 }, ['k']],
        [{ ...good, k: SCORE_LIMITS.k + 1 }, ['k']],
        [{ ...good, k: 1e300 }, ['k']],
        [{ ...good, k: '10' }, ['k']],
        [{ ...good, metric: 'euclid' }, ['metric']],
        [{ ...good, metric: null }, ['metric']],
        [{ ...good, limit: 1 }, ['limit']],
      ];
      for (const [body, places] of cases) {
        const problem = expectProblem(await api.post(scorePath('int8'), body), 422, 'invalid-score');
        expect([body, placesOf(problem)]).toEqual([body, places]);
      }
      const nan = `{"query":[${query.fill(1).join().replace('1', 'NaN')}],"candidates":["a"]}`;
      expectProblem(await api.post(scorePath('int8'), nan), 400, 'bad-json');
      expectProblem(await api.post(scorePath('int8'), '{"k":1,"k":1}'), 400, 'bad-json');
      const tooMany = Array.from({ length: SCORE_LIMITS.candidates + 1 }, (_, n) => `${n}`);
      expectProblem(await api.post(scorePath('int8'), { ...good, candidates: tooMany }), 413, 'too-many-ids');
      const million = Array<string>(1_000_000).fill('a');
      const answer = await api.post(scorePath('int8'), { ...good, candidates: million });
      expectProblem(answer, 413, 'body-too-large');
      const most = { ...good, candidates: tooMany.slice(1), k: SCORE_LIMITS.k };
      expect((await score(api, 'int8', most)).missing).toEqual(tooMany.slice(1));
    });
  },
  env,
);

const clients: ApiClient[] = [];
const started: ServerProcess[] = [];
afterAll(async () => {
  for (const client of clients) client.close();
  for (const server of started) {
    if (server.running) expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(server.errorOutput).toBe('');
  }
});

async function open(
  dataDir: string | undefined,
  more: Readonly<Record<string, string>>,
): Promise<{ api: ApiClient; server: ServerProcess }> {
  const options = { env: { ...env, ...more } };
  const server = await startServerProcess(dataDir === undefined ? options : { ...options, dataDir });
  const api = new ApiClient(server.port);
  started.push(server);
  clients.push(api);
  return { api, server };
}

test('scores are the same from disk, after a restart, as from memory', async () => {
  const lines = Array.from({ length: MANY }, (_, n) => ({ key: `kept ${n}`, vector: vector() }));
  const first = await open(undefined, {});
  for (const storage of PACKINGS) await load(first.api, storage, lines);
  const candidates = lines.map(({ key }) => key);
  const questions = [
    { queryId: 'kept 3', candidates, k: 40 },
    { query: [...vector()], candidates: candidates.slice(0, 50), k: 40 },
  ];
  const before = [];
  for (const storage of PACKINGS)
    for (const question of questions) before.push(await score(first.api, storage, question));
  expect(await first.server.stop()).toEqual({ code: 0, signal: null });

  const again = await open(first.server.dataDir, { HEADRACE_WARM_RATE: '0' });
  const statuses: unknown[] = [];
  const after = [];
  for (const storage of PACKINGS) {
    for (const question of questions.toReversed()) {
      const answer = await again.api.post(scorePath(storage), question);
      statuses.push(answer.headers['cache-status']);
      after.unshift(answer.json());
    }
  }
  expect(after.length).toBe(before.length);
  const byCache = (answers: readonly unknown[]) =>
    PACKINGS.map(storage => answers.filter(answer => (answer as ScoreAnswer).cache === storage));
  expect(byCache(after)).toEqual(byCache(before));
  expect(new Set(statuses)).toEqual(new Set(['headrace; fwd=partial; detail=L3']));
  const hot = await again.api.post(scorePath('int8'), questions[0]);
  expect(hot.headers['cache-status']).toBe('headrace; hit; detail=L1');
}, 60_000);

test('what memory has no room for is scored all the same', async () => {
  const { api } = await open(undefined, { HEADRACE_L1_BYTES: '1MiB' });
  const lines = Array.from({ length: 10_000 }, (_, n) => ({ key: `much ${n}`, vector: vector() }));
  await load(api, 'float32', lines);
  const query = vector();
  const question = { query: [...query], candidates: lines.map(({ key }) => key), k: 20, metric: 'dot' };
  const answer = await score(api, 'float32', question);
  expect(answer.missing).toEqual([]);
  expectExact({ storage: 'float32', metric: 'dot', query, candidates: lines, k: 20 }, answer);
}, 60_000);

test('entries of another format, or that are no vectors, are never scored, and counted', async () => {
  const name = (embedding: unknown) => configured({ mine: embedding === undefined ? {} : { embedding } });
  const plain = await open(undefined, name(undefined));
  const bytes = Buffer.alloc(4 + 16, 1);
  const puts = [bytes, bytes.subarray(4), Buffer.alloc(0), Buffer.from('[1,2,3,4]')];
  for (const [n, body] of puts.entries())
    await plain.api.request('PUT', entryPath('mine', `bytes ${n}`), body);
  await plain.server.stop();

  const wide = await open(plain.server.dataDir, name({ dimensions: 8, storage: 'float16' }));
  await load(wide.api, 'mine', [{ key: 'wide', vector: [1, 2, 3, 4, 5, 6, 7, 8] }]);
  await wide.server.stop();

  // A vector of as many bytes, read otherwise.
  const { api } = await open(plain.server.dataDir, name({ dimensions: 4, storage: 'float32' }));
  await putVector(api, 'mine', 'right', [1, 2, 3, 4]);
  const candidates = ['wide', 'right', ...puts.map((_, n) => `bytes ${n}`)];
  for (let round = 1; round <= 2; round++) {
    const answer = await score(api, 'mine', { query: [1, 0, 0, 0], candidates, metric: 'dot' });
    expect(answer.matches).toEqual([{ id: 'right', score: 1 }]);
    expect(answer.missing).toEqual(candidates.filter(id => id !== 'right'));
    expect(await scoringFigures(api, 'mine')).toEqual({
      questions: round,
      scored: round,
      missing: 5 * round,
      unavailable: 0,
      malformed: 5 * round,
    });
  }
  for (const key of candidates.filter(id => id !== 'right'))
    expectProblem(await api.get(entryPath('mine', key)), 404, 'entry-not-found');
  // They can be put anew.
  await putVector(api, 'mine', 'wide', [4, 3, 2, 1]);
  expect(await getVector(api, 'mine', 'wide')).toEqual(Float32Array.of(4, 3, 2, 1));
}, 60_000);

test('a vector that is written while it is scored is scored as one of those that were written', async () => {
  const dimensions = 384;
  // Little memory, which is soon used again.
  const { api } = await open(undefined, {
    ...configured({ raced: { embedding: { dimensions } } }),
    HEADRACE_L1_BYTES: '1MiB',
  });
  const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
  // All elements of a vector are one number: a score that is not that number times the weights' sum is of a torn one.
  const weights = Array.from({ length: dimensions }, () => 1 + random.below(1_000));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const line = (key: string, number: number) => ({ key, vector: Array<number>(dimensions).fill(number) });
  await load(
    api,
    'raced',
    keys.map(key => line(key, 1)),
  );
  let writes = 0;
  const writesWanted = FULL ? 100_000 : 4_000;
  /** Each has keys of its own: what it has written last is what it must see. */
  const writer = async (_: unknown, number: number) => {
    const own = keys.filter((_key, n) => n % 4 === number);
    for (let value = 2; writes < writesWanted; value = 1 + (value % 1_000)) {
      writes += own.length;
      await load(
        api,
        'raced',
        own.map(key => line(key, value)),
      );
      const { matches } = await score(api, 'raced', { query: weights, candidates: own, metric: 'dot' });
      expect(new Set(matches.map(({ score: found }) => found))).toEqual(new Set([value * sum]));
    }
  };
  let scored = 0;
  const different = new Set<number>();
  const reader = async (_: unknown, number: number) => {
    // By the front, and by the lanes.
    const times = number % 2 === 0 ? 1 : Math.ceil(FRONT_ELEMENTS_MAX / dimensions / keys.length) + 1;
    const candidates = Array.from({ length: times }, () => keys).flat();
    while (writes < writesWanted) {
      const question = { query: weights, candidates, metric: 'dot', k: candidates.length };
      const { matches, missing, unavailable } = await score(api, 'raced', question);
      expect([matches.length, missing, unavailable]).toEqual([candidates.length, [], []]);
      for (const { score: found } of matches) {
        const value = found / sum;
        if (!Number.isInteger(value) || value < 1 || value > 1_000) throw new Error(`torn: ${value}`);
        different.add(value);
      }
      scored += matches.length;
    }
  };
  await Promise.all([...Array.from({ length: 4 }, writer), ...Array.from({ length: 4 }, reader)]);
  expect(scored).toBeGreaterThan(writesWanted);
  expect(different.size).toBeGreaterThan(20);
  expect((await scoringFigures(api, 'raced')).malformed).toBe(0);
}, 300_000);
