/**
 * `/v1/views/{view}/records/{id}`: get, head, put, delete. The read path is `read`: a hit in shared memory is answered
 * before it returns, and allocates nothing that outlives it.
 */
import { problemOf } from '../base/errors.js';
import { acceptedMedia, FLATBUFFERS_TYPE, JSON_TYPE, type Media } from '../base/media.js';
import type { RecordStore } from '../lookup/record-store.js';
import { JsonWriter } from '../views/json-writer.js';
import { recordJson } from '../views/record-answer.js';
import { recordExpiresAt } from '../views/record-codec.js';
import { RECORD_BYTES_MIN } from '../views/record-layout.js';
import { RecordReader } from '../views/record-reader.js';
import type { View } from '../views/schema.js';
import type { Selection } from '../views/selection.js';
import type { AnswerError } from './answer-error.js';
import { CacheStatus, FORWARDED, hitStatus, secondsLeft } from './cache-status.js';
import type { Exchange, Headers, ReadyHeaders } from './front.js';
import { ACCEPT, TIMING } from './header-names.js';
import { HitHeaders } from './hit-headers.js';
import { Prefixes } from './prefixes.js';
import type { RouteHandlers } from './routes.js';
import { Selections } from './selections.js';
import { TIMING_OFF, type Timing, timingOf } from './server-timing.js';

export interface RecordHandlerOptions {
  readonly store: RecordStore;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

export function recordHandlers(options: RecordHandlerOptions): RouteHandlers['record'] {
  const handlers = new RecordHandlers(options);
  const read = (exchange: Exchange, view: View, id: string) => handlers.read(exchange, view, id);
  return {
    GET: read,
    HEAD: read,
    PUT: (exchange, view, id) => handlers.write(exchange, view, id),
    DELETE: (exchange, view, id) => handlers.remove(exchange, view, id),
  };
}

class RecordHandlers {
  readonly #store: RecordStore;
  readonly #bodyBytesMax: number;
  readonly #answerError: AnswerError;
  readonly #selections = new Selections();
  readonly #record = new RecordReader();
  readonly #json = new JsonWriter();
  readonly #status = new CacheStatus();
  readonly #prefixes: Prefixes;
  /** Used for every hit: the front has taken them when `respond` returns. */
  readonly #hitHeaders = { json: new HitHeaders(JSON_TYPE), flatbuffers: new HitHeaders(FLATBUFFERS_TYPE) };

  constructor({ store, bodyBytesMax, answerError }: RecordHandlerOptions) {
    this.#store = store;
    this.#bodyBytesMax = bodyBytesMax;
    this.#answerError = answerError;
    this.#prefixes = new Prefixes(store.l1Bytes);
  }

  read(exchange: Exchange, view: View, id: string): void {
    const timing = timingOf(exchange.header(TIMING));
    const media = acceptedMedia(exchange.header(ACCEPT));
    const selection = this.#selections.forQuery(view, exchange.query);
    if (timing !== TIMING_OFF) timing.lap('parse');
    const nowMs = this.#store.now();
    const length = this.#store.probe(view, id, nowMs);
    if (timing !== TIMING_OFF) timing.lap('l1');
    if (length < 0) return this.#readBelow(exchange, { view, id, media, selection, timing });
    const record = this.#prefixes.of(length);
    const seconds = secondsLeft(recordExpiresAt(record), nowMs);
    if (length === RECORD_BYTES_MIN && this.#isTombstone(record))
      return answerMissing(exchange, view, id, hitStatus(seconds));
    const headers = this.#hitHeaders[media].of(seconds);
    this.#answer(exchange, media, selection, id, record, headers, timing);
  }

  #readBelow(exchange: Exchange, asked: Asked): void {
    const { view, id, media, selection, timing } = asked;
    const kept = exchange.later();
    this.#store
      .fetch(view, id)
      .then(record => {
        if (timing !== TIMING_OFF) timing.lap('l3');
        if (record === undefined) answerMissing(kept, view, id, this.#status.miss);
        else this.#answer(kept, media, selection, id, record, missHeaders(media, this.#status.miss), timing);
      })
      .catch(error => this.#answerError(kept, error, ['cache-status', this.#status.failed]));
  }

  /** Deleted records stay in shared memory as tombstones, which are shorter than any other record. */
  #isTombstone(record: Uint8Array): boolean {
    this.#record.reset(record);
    return this.#record.tombstone;
  }

  #answer(
    exchange: Exchange,
    media: Media,
    selection: Selection,
    id: string,
    record: Uint8Array,
    headers: Headers | ReadyHeaders,
    timing: Timing,
  ): void {
    let body = record;
    if (media === 'json') {
      this.#record.reset(record);
      body = recordJson(this.#json, selection, id, this.#record);
    }
    if (timing === TIMING_OFF) return exchange.respond(200, headers, body);
    timing.lap('encode');
    const pairs = 'pairs' in headers ? headers.pairs : headers;
    exchange.respond(200, [...pairs, 'server-timing', timing.header()], body);
  }

  write(exchange: Exchange, view: View, id: string): void {
    exchange.readBody(this.#bodyBytesMax, (body, kept) => {
      this.#store
        .write(view, id, body)
        .then(({ version, applied }) => {
          const answer = JSON.stringify({ id, version, applied });
          kept.respond(200, ['content-type', JSON_TYPE, ...FORWARDED], answer);
        })
        .catch(error => this.#answerError(kept, error));
    });
  }

  remove(exchange: Exchange, view: View, id: string): void {
    const kept = exchange.later();
    this.#store
      .remove(view, id)
      .then(() => kept.respond(204, FORWARDED, ''))
      .catch(error => this.#answerError(kept, error));
  }
}

interface Asked {
  readonly view: View;
  readonly id: string;
  readonly media: Media;
  readonly selection: Selection;
  readonly timing: Timing;
}

function missHeaders(media: Media, status: string): Headers {
  return ['content-type', media === 'json' ? JSON_TYPE : FLATBUFFERS_TYPE, 'cache-status', status];
}

function answerMissing(exchange: Exchange, view: View, id: string, status: string): void {
  const problem = problemOf('record-not-found', `view ${view.name} has no record ${id}`);
  exchange.fail(problem, ['cache-status', status]);
}
