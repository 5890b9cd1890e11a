/** How a failed promise becomes an answer: operating errors are told to the client, bugs to the log. */
import { HeadraceError } from '../base/errors.js';
import type { Exchange, Headers } from './front.js';
import { HANDLER_FAILED } from './problem-answer.js';

export type AnswerError = (exchange: Exchange, error: unknown, headers?: Headers) => void;

const RETRY_AFTER: Headers = ['retry-after', '1'];

export function errorAnswers(onError: (error: unknown) => void): AnswerError {
  return (exchange, error, headers = []) => {
    if (error instanceof HeadraceError) {
      const busy = error.status === 503;
      exchange.fail(error.problem(), busy ? [...headers, ...RETRY_AFTER] : headers);
    } else {
      onError(error);
      exchange.fail(HANDLER_FAILED, headers);
    }
  };
}
