/** `POST /v1/views/{view}/invalidate`: drops cached copies of records, not the records. */

import { JSON_TYPE } from '../base/media.js';
import { readInvalidation } from '../lookup/request-json.js';
import type { AnswerError } from './answer-error.js';
import { FORWARDED } from './cache-status.js';
import type { Headers } from './front.js';
import type { Invalidations } from './invalidations.js';
import type { RouteHandlers } from './routes.js';

const HEADERS: Headers = ['content-type', JSON_TYPE, ...FORWARDED];

export interface InvalidateHandlerOptions {
  readonly invalidations: Invalidations;
  readonly bodyBytesMax: number;
  readonly answerError: AnswerError;
}

export function invalidateHandlers(options: InvalidateHandlerOptions): RouteHandlers['invalidate'] {
  const { invalidations, bodyBytesMax, answerError } = options;
  return {
    POST(exchange, view) {
      exchange.readBody(bodyBytesMax, (body, kept) => {
        // Within a promise, so that a body that cannot be read is answered like everything else that fails.
        Promise.resolve()
          .then(() => invalidations.ofView(view, readInvalidation(body)))
          .then(invalidated => kept.respond(200, HEADERS, JSON.stringify({ invalidated })))
          .catch(error => answerError(kept, error));
      });
    },
  };
}
