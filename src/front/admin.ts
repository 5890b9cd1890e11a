/** The control plane: what the admin port answers. `/livez` and `/readyz` are open, all else asks for the admin key. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { problemOf } from '../base/errors.js';
import { JSON_TYPE } from '../base/media.js';
import type { Exchange, Handler } from './front.js';
import { AUTHORIZATION } from './header-names.js';
import { SWITCH_PATH } from './switch-handlers.js';

export type Readiness = 'starting' | 'ready' | 'draining';

export interface AdminOptions {
  /** '' asks for none. */
  readonly key: string;
  readonly readiness: () => Readiness;
  /** How many of the keys that were hot before the start are read; `undefined` when that is not under way. */
  readonly warming: () => { readonly done: number; readonly of: number } | undefined;
  /** By cache, how many keys of its list are still to be looked at; `undefined` when none are. */
  readonly lists: () => Readonly<Record<string, number>> | undefined;
  /** How often each problem was answered on the data port, by its code. */
  readonly problems: () => Readonly<Record<string, number>>;
  /** Answers what begins with `SWITCH_PATH`. */
  readonly switches: (exchange: Exchange) => void;
}

const ANSWER = ['content-type', JSON_TYPE, 'cache-control', 'no-store'] as const;
const PROBLEMS_PATH = '/admin/problems';
const READING = ['GET', 'HEAD'];

export function adminHandler(options: AdminOptions): Handler {
  const { key, readiness, warming, lists, problems, switches } = options;
  const open: Readonly<Record<string, (exchange: Exchange) => void>> = {
    '/livez': exchange => exchange.respond(200, ANSWER, '{"status":"live"}'),
    '/readyz': exchange => {
      const status = readiness();
      exchange.respond(
        status === 'ready' ? 200 : 503,
        ANSWER,
        JSON.stringify({ status, warming: warming(), lists: lists() }),
      );
    },
  };
  const showProblems = (exchange: Exchange) =>
    exchange.respond(200, ANSWER, JSON.stringify({ problems: problems() }));
  return exchange => {
    const { path } = exchange;
    const isOpen = Object.hasOwn(open, path);
    if (!isOpen && !isAuthorised(exchange, key)) return refuse(exchange);
    if (path.startsWith(SWITCH_PATH)) return switches(exchange);
    const answer = isOpen ? open[path] : path === PROBLEMS_PATH ? showProblems : undefined;
    if (answer === undefined) {
      return exchange.fail(problemOf('not-found', `there is nothing at ${path.slice(0, 200)}`));
    }
    if (!READING.includes(exchange.method)) {
      return exchange.fail(problemOf('method-not-allowed', `${exchange.method} is not allowed here`), [
        'allow',
        'GET, HEAD',
      ]);
    }
    answer(exchange);
  };
}

function isAuthorised(exchange: Exchange, key: string): boolean {
  if (key === '') return true;
  const given = exchange.header(AUTHORIZATION);
  // Digests have one length, so the comparison takes the same time whatever was given.
  return timingSafeEqual(digest(given), digest(`Bearer ${key}`));
}

function digest(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}

function refuse(exchange: Exchange): void {
  exchange.fail(problemOf('unauthorised', 'send the admin key as a bearer token'), [
    'www-authenticate',
    'Bearer',
  ]);
}
