/** How a problem goes over the wire, the same from both fronts. */
import { type Problem, problemOf } from '../base/errors.js';
import { problemStatus } from './cache-status.js';
import type { Exchange, Headers } from './front.js';

const PROBLEM_HEADERS: Headers = ['content-type', 'application/problem+json'];

/** @param cacheStatus whether the answer must say one: that of the problem, where `headers` has none. */
export function answerProblem(
  exchange: Exchange,
  problem: Problem,
  headers: Headers,
  cacheStatus: boolean,
): void {
  const all = [...PROBLEM_HEADERS, ...headers];
  if (cacheStatus && !headers.includes('cache-status')) all.push(...problemStatus(problem));
  exchange.respond(problem.status, all, JSON.stringify(problem));
}

export function bodyTooLarge(limitBytes: number): Problem {
  return problemOf('body-too-large', `the body has more than ${limitBytes} bytes`);
}

export function pathTooLong(limitBytes: number): Problem {
  return problemOf('path-too-long', `path and query have more than ${limitBytes} bytes`);
}

export const HANDLER_FAILED = problemOf('internal', 'the request could not be handled; the log says why');
export const HANDLER_SILENT = problemOf('internal', 'the request was not answered');
export const BODY_HELD_UP = problemOf(
  'overloaded',
  'the body comes faster than it can be taken; send it in parts',
);
export const BAD_FRAMING = problemOf('bad-request', 'content-length or transfer-encoding is not allowed so');
export const BAD_TARGET = problemOf('bad-encoding', 'path and query must be ASCII; percent-encode the rest');
