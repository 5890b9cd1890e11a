/** Caches of embeddings: `POST /v1/embeddings/{cache}/score`, and loads by `POST /v1/caches/{cache}/entries`. */
import { HeadraceError } from '../base/errors.js';
import { JSON_TYPE } from '../base/media.js';
import type { CacheDefinition } from '../caches/definition.js';
import { type EmbeddingFormat, entryVector } from '../caches/embeddings/embedding.js';
import { EntryReader } from '../caches/entry.js';
import { entryId } from '../caches/entry-id.js';
import { freshnessOf } from '../caches/freshness.js';
import type { LeaseTable } from '../caches/lease-table.js';
import type { RecordStore } from '../lookup/record-store.js';
import { readScoreQuestion, type ScoreQuestion, scoresJson } from '../lookup/score-json.js';
import type { Scores, Scoring } from '../lookup/scoring.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, SWITCHED_OFF } from './cache-status.js';
import { wasEmptied } from './entry-origins.js';
import { notReady } from './entry-writes.js';
import type { Exchange } from './front.js';
import { requireLines, streamLines } from './load-handler.js';
import { ALL_HITS, missStatus } from './lookup-handler.js';
import type { RouteHandlers } from './routes.js';

export interface EmbeddingHandlerOptions {
  readonly store: RecordStore;
  readonly scoring: Scoring;
  readonly viewOf: (cache: CacheDefinition) => View | undefined;
  readonly leasesOf: (cache: CacheDefinition) => LeaseTable | undefined;
  readonly bodyBytesMax: number;
  readonly lineBytesMax: number;
  readonly answerError: AnswerError;
}

/** Of a cache, since the start. */
export interface ScoringFigures {
  questions: number;
  scored: number;
  missing: number;
  unavailable: number;
  /** Of the missing, entries that hold no vector of the cache's format. */
  malformed: number;
}

type EmbeddingRoutes = Pick<RouteHandlers, 'score' | 'entryLoad'>;

export class EmbeddingHandlers {
  readonly #options: EmbeddingHandlerOptions;
  readonly #entry = new EntryReader();
  readonly #status = new CacheStatus();
  readonly #figures = new Map<string, ScoringFigures>();

  constructor(options: EmbeddingHandlerOptions) {
    this.#options = options;
  }

  get routes(): EmbeddingRoutes {
    return {
      score: { POST: (exchange, cache) => this.#onScore(exchange, cache) },
      entryLoad: { POST: (exchange, cache) => this.#onLoad(exchange, cache) },
    };
  }

  /** `undefined` for a cache that holds no embeddings. */
  figuresOf({ name, embedding }: CacheDefinition): ScoringFigures | undefined {
    if (embedding === undefined) return undefined;
    const figures = this.#figures.get(name) ?? { ...NO_FIGURES };
    this.#figures.set(name, figures);
    return figures;
  }

  #onScore(exchange: Exchange, cache: CacheDefinition): void {
    const { bodyBytesMax, answerError } = this.#options;
    const embedding = embeddingOf(cache);
    exchange.readBody(bodyBytesMax, (body, kept) => {
      this.#answer(kept, cache, embedding, body).catch(error => answerError(kept, error));
    });
  }

  async #answer(
    exchange: Exchange,
    cache: CacheDefinition,
    embedding: EmbeddingFormat,
    body: Uint8Array,
  ): Promise<void> {
    const question = readScoreQuestion(body, embedding);
    const { scores, status } = await this.#score(cache, embedding, question);
    this.#count(cache, question.candidates.length, scores);
    const headers = ['content-type', JSON_TYPE, 'cache-status', status];
    exchange.respond(200, headers, scoresJson(cache.name, question, scores));
  }

  /** @throws HeadraceError `bad-id`; `entry-not-found` and others of the entry that the query is. */
  async #score(
    cache: CacheDefinition,
    embedding: EmbeddingFormat,
    question: ScoreQuestion,
  ): Promise<{ readonly scores: Scores; readonly status: string }> {
    const { scoring, store, viewOf } = this.#options;
    const { candidates, k, metric } = question;
    const ids = cache.prefix === '' ? candidates : candidates.map(key => entryId(cache, key));
    const places = [...ids.keys()];
    if (!cache.enabled) return { scores: { ...NO_SCORES, missing: places }, status: SWITCHED_OFF };
    const view = viewOf(cache);
    if (view === undefined)
      return { scores: { ...NO_SCORES, unavailable: places }, status: this.#status.failed };
    const deadlineMs = store.deadline();
    try {
      const query =
        typeof question.query === 'string'
          ? await this.#vector(cache, embedding, view, question.query, deadlineMs)
          : question.query;
      const request = { format: embedding, metric, query, k: Math.min(k, ids.length) };
      const scores = await scoring.score(view, ids, request, deadlineMs);
      return { scores, status: scores.misses === undefined ? ALL_HITS : missStatus(scores.misses) };
    } catch (error) {
      if (!wasEmptied(error)) throw error;
      return { scores: { ...NO_SCORES, missing: places }, status: this.#status.miss };
    }
  }

  /** The entry's vector, as the query. */
  async #vector(
    cache: CacheDefinition,
    embedding: EmbeddingFormat,
    view: View,
    key: string,
    deadlineMs: number,
  ): Promise<Float32Array> {
    const { store } = this.#options;
    const id = entryId(cache, key);
    const length = store.probe(view, id, store.now());
    const record = length >= 0 ? store.l1Bytes.subarray(0, length) : await store.fetch(view, id, deadlineMs);
    const vector = record && this.#served(embedding, record);
    if (vector === undefined)
      throw new HeadraceError('entry-not-found', `cache ${cache.name} has no vector ${key} to compare with`);
    return vector;
  }

  #served(embedding: EmbeddingFormat, record: Uint8Array): Float32Array | undefined {
    const entry = this.#entry;
    entry.reset(record);
    const isServed = !entry.isTombstone && freshnessOf(entry, this.#options.store.now()) !== 'old';
    return isServed ? entryVector(embedding, entry) : undefined;
  }

  #count(cache: CacheDefinition, candidates: number, { missing, unavailable, malformed }: Scores): void {
    const figures = this.figuresOf(cache);
    if (figures === undefined) return;
    figures.questions++;
    figures.scored += candidates - missing.length - unavailable.length;
    figures.missing += missing.length;
    figures.unavailable += unavailable.length;
    figures.malformed += malformed;
  }

  #onLoad(exchange: Exchange, cache: CacheDefinition): void {
    const { store, viewOf, leasesOf, lineBytesMax, answerError } = this.#options;
    const embedding = embeddingOf(cache);
    requireLines(exchange);
    if (!cache.enabled)
      throw new HeadraceError('unavailable', `the cache ${cache.name} is switched off: nothing was taken`);
    const view = viewOf(cache);
    if (view === undefined) throw notReady(cache);
    const { ttlMs, staleWhileRevalidateMs, staleIfErrorMs, tagsMax, prefix } = cache;
    const vectors = { embedding, ttlMs, staleWhileRevalidateMs, staleIfErrorMs, tagsMax, prefix };
    const leases = leasesOf(cache);
    const onWrite = leases && ((ids: readonly string[]) => holdLeases(leases, ids));
    const lines = { view, flat: false, vectors, lineBytesMax, ...(onWrite && { onWrite }) };
    streamLines(exchange, store, lines, (kept, error) =>
      answerError(kept, wasEmptied(error) ? lostMeanwhile(cache) : error),
    );
  }
}

const NO_FIGURES: ScoringFigures = { questions: 0, scored: 0, missing: 0, unavailable: 0, malformed: 0 };

const NO_SCORES: Scores = { matches: [], missing: [], unavailable: [], malformed: 0, misses: undefined };

/** @throws HeadraceError `cache-not-found` when the cache holds other things. */
function embeddingOf({ name, embedding }: CacheDefinition): EmbeddingFormat {
  if (embedding !== undefined) return embedding;
  throw new HeadraceError(
    'cache-not-found',
    `the cache ${name} is none of embeddings: its definition (HEADRACE_CONFIG_FILE) says no dimensions`,
  );
}

/** As a put does: until the lines are answered, the leases on their keys are no more, and those who wait go on doing so. */
function holdLeases(leases: LeaseTable, ids: readonly string[]): () => void {
  for (const id of ids) leases.hold(id);
  return () => {
    for (const id of ids) leases.void(id);
  };
}

function lostMeanwhile({ name }: CacheDefinition): HeadraceError {
  return new HeadraceError('unavailable', `the store has lost the cache ${name} meanwhile; load it again`);
}
