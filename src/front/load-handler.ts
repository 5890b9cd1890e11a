/** `POST /v1/views/{view}/records`: a record a line, as long as the client likes, with backpressure down to its socket. */
import { HeadraceError } from '../base/errors.js';
import { JSON_TYPE, mediaType, NDJSON_TYPE } from '../base/media.js';
import type { IngestOptions } from '../lookup/ingest.js';
import type { RecordStore } from '../lookup/record-store.js';
import type { AnswerError } from './answer-error.js';
import { FORWARDED } from './cache-status.js';
import type { BodySource, Exchange, Headers } from './front.js';
import { CONTENT_ENCODING, CONTENT_TYPE } from './header-names.js';
import { readFlag, readQuery } from './query.js';
import type { RouteHandlers } from './routes.js';

const HEADERS: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export interface LoadHandlerOptions {
  readonly store: RecordStore;
  readonly lineBytesMax: number;
  readonly answerError: AnswerError;
}

export function loadHandlers({
  store,
  lineBytesMax,
  answerError,
}: LoadHandlerOptions): RouteHandlers['records'] {
  return {
    POST(exchange, view) {
      requireLines(exchange);
      const flat = readFlag('flat', readQuery(exchange.query, ['flat']).flat);
      const lines = { view, flat, lineBytesMax };
      streamLines(exchange, store, lines, answerError);
    },
  };
}

/** Takes the lines of the body as they come, and answers with what became of them. */
export function streamLines(
  exchange: Exchange,
  store: RecordStore,
  lines: Pick<IngestOptions, 'view' | 'flat' | 'vectors' | 'lineBytesMax' | 'onWrite'>,
  answerError: AnswerError,
): void {
  let source: BodySource | undefined;
  const ingest = store.ingest({
    ...lines,
    onDrain: () => source?.resume(),
    onFailure: error => answerError(exchange, error),
  });
  source = exchange.streamBody({
    chunk: bytes => {
      if (!ingest.push(bytes)) source?.pause();
    },
    end: kept => {
      ingest
        .end()
        .then(totals => kept.respond(200, HEADERS, JSON.stringify(totals)))
        .catch(error => answerError(kept, error));
    },
    abort: () => ingest.abort(),
  });
}

/** @throws HeadraceError `unsupported-media-type` unless the body is said to be lines. */
export function requireLines(exchange: Exchange): void {
  requireType(exchange.header(CONTENT_TYPE));
  requireIdentity(exchange.header(CONTENT_ENCODING));
}

function requireType(given: string): void {
  if (mediaType(given) === NDJSON_TYPE) return;
  throw new HeadraceError(
    'unsupported-media-type',
    `the content type is '${given.slice(0, 100)}'; ${NDJSON_TYPE} is wanted`,
  );
}

function requireIdentity(encoding: string): void {
  if (encoding === '' || encoding === 'identity') return;
  throw new HeadraceError(
    'unsupported-media-type',
    `the content encoding is '${encoding.slice(0, 100)}'; send the lines as they are`,
  );
}
