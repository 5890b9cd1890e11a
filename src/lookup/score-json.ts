/** `POST /v1/embeddings/{cache}/score`: its body, and the answer to it. */
import { assert } from '../base/assert.js';
import type { EmbeddingFormat } from '../caches/embeddings/embedding.js';
import { METRICS, type Metric } from '../caches/embeddings/top-k.js';
import { readVector } from '../caches/embeddings/vector-json.js';
import { RequestReader } from './request-json.js';
import type { Scores } from './scoring.js';

export const SCORE_LIMITS = { candidates: 10_000, k: 10_000 } as const;
const K_STANDARD = 10;

export interface ScoreQuestion {
  /** A vector, or the key of an entry that is one. */
  readonly query: Float32Array | string;
  /** 1 to 10,000, as asked: in order, with duplicates. */
  readonly candidates: readonly string[];
  readonly k: number;
  readonly metric: Metric;
}

/** @throws HeadraceError `bad-json`, `too-many-ids`, or `invalid-score` that names all that is wrong. */
export function readScoreQuestion(body: Uint8Array, { dimensions, metric }: EmbeddingFormat): ScoreQuestion {
  const request = new RequestReader(body, 'invalid-score');
  const { problems } = request;
  const queries: (Float32Array | string)[] = [];
  let candidates: readonly string[] | undefined;
  const options = { k: K_STANDARD, metric };
  request.readMembers(['query', 'queryId', 'candidates', 'k', 'metric'], key => {
    if (key === 'query') queries.push(readVector(request.reader, dimensions, problems));
    else if (key === 'queryId') queries.push(request.readId());
    else if (key === 'candidates') candidates = request.readIds(SCORE_LIMITS.candidates);
    else if (key === 'k') options.k = request.readInteger(1, SCORE_LIMITS.k);
    else options.metric = request.readOneOf(METRICS);
  });
  if (queries.length !== 1) problems.add('the body', 'must have exactly one of query, queryId');
  if (candidates === undefined) problems.add('candidates', 'is missing');
  problems.throwIfAny('invalid-score');
  const [query] = queries;
  assert(query !== undefined && candidates !== undefined, 'a question without them has a problem');
  return { query, candidates, ...options };
}

export function scoresJson(
  cache: string,
  { candidates, metric }: ScoreQuestion,
  { matches, missing, unavailable }: Scores,
): string {
  const idOf = (place: number) => candidates[place];
  return JSON.stringify({
    cache,
    metric,
    matches: matches.map(({ place, score }) => ({ id: idOf(place), score })),
    missing: missing.map(idOf),
    unavailable: unavailable.map(idOf),
  });
}
