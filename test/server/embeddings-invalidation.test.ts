/** Scores of vectors that were invalidated, through the server, whether they are erased yet or not. */
import { expect, test } from 'vitest';
import { FRONT_ELEMENTS_MAX } from '../../src/lookup/scoring.js';
import { SEED, Seeded } from '../base/seeded.js';
import { normalVector } from '../caches/embeddings/vectors.js';
import { expectProblem, onBothFronts } from './both-fronts.js';
import {
  configured,
  DIMENSIONS,
  type Line,
  load,
  putVector,
  type ScoreAnswer,
  STORAGES,
  score,
  scorePath,
} from './embeddings.js';

/** More than the front scores itself. */
const MANY = Math.ceil(FRONT_ELEMENTS_MAX / DIMENSIONS) + 500;
const random = new Seeded(SEED);
const vector = () => normalVector(random, DIMENSIONS);

onBothFronts(
  'invalidated vectors',
  subject => {
    test('are not scored from the answer on, and what is put after it is', async () => {
      const { api } = subject;
      const tag = { 'cache-tags': 'run:7' };
      const tagged = Array.from({ length: 300 }, (_, n) => ({
        key: `run ${n}`,
        vector: vector(),
        tags: ['run:7'],
      }));
      const others = Array.from({ length: MANY }, (_, n) => ({ key: `stays ${n}`, vector: vector() }));
      await load(api, 'float32', [...tagged, ...others]);
      const keysOf = (lines: readonly Line[]) => lines.map(({ key }) => key);
      const gone = keysOf(tagged);
      // By the front, and by the lanes.
      const questions = [20, MANY].map(count => ({
        query: [...vector()],
        candidates: [...gone.slice(0, count), ...keysOf(others.slice(0, count))],
        k: 2 * MANY,
      }));
      const ids = ({ matches }: ScoreAnswer) => matches.map(({ id }) => id).toSorted();
      for (const question of questions)
        expect(ids(await score(api, 'float32', question))).toEqual(question.candidates.toSorted());

      expect((await api.post('/v1/caches/float32/invalidate', { tags: ['run:7'] })).status).toBe(200);
      for (const question of questions) {
        const answer = await score(api, 'float32', question);
        expect(answer.missing).toEqual(question.candidates.filter(id => gone.includes(id)));
        expect(ids(answer)).toEqual(question.candidates.filter(id => !gone.includes(id)).toSorted());
      }
      const byGone = { queryId: 'run 1', candidates: ['stays 1'] };
      expectProblem(await api.post(scorePath('float32'), byGone), 404, 'entry-not-found');
      await putVector(api, 'float32', 'run 1', vector(), tag);
      for (const question of questions)
        expect((await score(api, 'float32', question)).missing).not.toContain('run 1');
      expect((await score(api, 'float32', byGone)).matches.length).toBe(1);
    });
  },
  configured(STORAGES),
);
