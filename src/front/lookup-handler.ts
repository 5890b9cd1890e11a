/** `POST /v1/views/{view}/lookup`: many records in one request, as columns. Hits alone are answered at once. */
import { HeadraceError } from '../base/errors.js';
import { acceptedMedia, FLATBUFFERS_TYPE, JSON_TYPE, type Media } from '../base/media.js';
import { LookupAnswer } from '../lookup/lookup-answer-columns.js';
import { lookupJson } from '../lookup/lookup-answer-json.js';
import type { LookupMisses, RecordStore } from '../lookup/record-store.js';
import { readLookup } from '../lookup/request-json.js';
import { JsonWriter } from '../views/json-writer.js';
import type { View } from '../views/schema.js';
import type { AnswerError } from './answer-error.js';
import type { Exchange } from './front.js';
import { ACCEPT, TIMING } from './header-names.js';
import type { RouteHandlers } from './routes.js';
import { Selections } from './selections.js';
import { TIMING_OFF, type Timing, timingOf } from './server-timing.js';

export interface LookupHandlerOptions {
  readonly store: RecordStore;
  /** Used again and again; more are made, and dropped, while more lookups wait for lanes at once. */
  readonly answers: LookupAnswer[];
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
  /** Whether the view has not been dropped. */
  readonly isDeclared: (view: View) => boolean;
}

export const ALL_HITS = 'headrace; hit; detail=L1';

export function lookupHandlers(options: LookupHandlerOptions): RouteHandlers['lookup'] {
  const handler = new LookupHandler(options);
  return { POST: (exchange, view) => handler.lookup(exchange, view) };
}

class LookupHandler {
  readonly #options: LookupHandlerOptions;
  readonly #selections = new Selections();
  readonly #json = new JsonWriter();

  constructor(options: LookupHandlerOptions) {
    this.#options = options;
  }

  lookup(exchange: Exchange, view: View): void {
    const { bodyBytesMax, answerError } = this.#options;
    const timing = timingOf(exchange.header(TIMING));
    const media = acceptedMedia(exchange.header(ACCEPT));
    exchange.readBody(bodyBytesMax, (body, kept) => {
      try {
        this.#answer(kept, view, body, media, timing);
      } catch (error) {
        answerError(kept, error);
      }
    });
  }

  #answer(exchange: Exchange, view: View, body: Uint8Array, media: Media, timing: Timing): void {
    const { store, answers, answerError, isDeclared } = this.#options;
    // The body may have come late, and the view's place in shared memory be another view's by now.
    if (!isDeclared(view)) throw new HeadraceError('view-not-found', `there is no view ${view.name}`);
    const { ids, features } = readLookup(body, view);
    const kept = answers.pop();
    const answer = kept ?? new LookupAnswer();
    const release = () => {
      if (kept !== undefined) answers.push(kept);
    };
    let misses: Promise<LookupMisses> | undefined;
    try {
      answer.begin(this.#selections.forFeatures(view, features), ids);
      if (timing !== TIMING_OFF) timing.lap('parse');
      misses = store.lookup(view, ids, answer);
      if (timing !== TIMING_OFF) timing.lap('l1');
      if (misses === undefined) this.#respond(exchange, answer, media, ALL_HITS, timing);
    } finally {
      if (misses === undefined) release();
    }
    misses
      ?.then(outcome => {
        if (timing !== TIMING_OFF) timing.lap('l3');
        this.#respond(exchange, answer, media, missStatus(outcome), timing);
      })
      .catch(error => answerError(exchange, error))
      .finally(release);
  }

  #respond(exchange: Exchange, answer: LookupAnswer, media: Media, status: string, timing: Timing): void {
    const body = media === 'json' ? lookupJson(this.#json, answer) : answer.finishFlatBuffer();
    const headers = ['content-type', media === 'json' ? JSON_TYPE : FLATBUFFERS_TYPE, 'cache-status', status];
    if (timing !== TIMING_OFF) {
      timing.lap('encode');
      headers.push('server-timing', timing.header());
    }
    exchange.respond(200, headers, body);
  }
}

/** Some were asked of the lanes. */
export function missStatus({ failure }: LookupMisses): string {
  const detail = failure === undefined ? 'L3' : failure.code;
  return `headrace; fwd=partial; detail=${detail}`;
}
