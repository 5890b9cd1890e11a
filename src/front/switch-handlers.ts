/** `POST /admin/caches` and `POST /admin/caches/{cache}`: switches all caches, or one, off and on while the server runs. */
import { HeadraceError } from '../base/errors.js';
import { JSON_TYPE } from '../base/media.js';
import type { LiveCaches } from '../caches/live-caches.js';
import { readSwitch } from '../lookup/request-json.js';
import type { Log } from '../observe/log.js';
import type { Exchange, Headers } from './front.js';
import { decode, refuse, unknownPath } from './route-parts.js';

export interface SwitchOptions {
  readonly caches: LiveCaches;
  readonly log: Log;
}

export const SWITCH_PATH = '/admin/caches';
const BODY_BYTES_MAX = 1024;
const HEADERS: Headers = ['content-type', JSON_TYPE, 'cache-control', 'no-store'];

/** Answers a request whose path begins with `SWITCH_PATH`. */
export function switchHandler({ caches, log }: SwitchOptions): (exchange: Exchange) => void {
  /** Of one cache, or of all. */
  function shown(name: string | undefined): string {
    const stateOf = (cache: string) => ({ cache, enabled: caches.get(cache)?.enabled });
    return JSON.stringify(name === undefined ? { caches: caches.names().map(stateOf) } : stateOf(name));
  }

  function switchTo(name: string | undefined, enabled: boolean): void {
    const asked = name === undefined ? caches.names() : [name];
    const switched = asked.filter(cache => caches.switch(cache, enabled));
    if (switched.length > 0) log.info({ caches: switched }, `switched ${enabled ? 'on' : 'off'}`);
  }

  function onPost(exchange: Exchange, name: string | undefined): void {
    exchange.readBody(BODY_BYTES_MAX, (body, kept) =>
      orFail(kept, () => {
        switchTo(name, readSwitch(body));
        kept.respond(200, HEADERS, shown(name));
      }),
    );
  }

  return exchange =>
    orFail(exchange, () => {
      const { method, path } = exchange;
      if (path !== SWITCH_PATH && path[SWITCH_PATH.length] !== '/') return unknownPath(exchange);
      const name = path === SWITCH_PATH ? undefined : decode(path.slice(SWITCH_PATH.length + 1));
      if (name !== undefined && caches.get(name) === undefined)
        throw new HeadraceError('cache-not-found', `there is no cache ${name.slice(0, 100)}`);
      if (method === 'POST') onPost(exchange, name);
      else if (method === 'GET' || method === 'HEAD') exchange.respond(200, HEADERS, shown(name));
      else refuse(exchange, 'GET, HEAD, POST');
    });
}

function orFail(exchange: Exchange, answer: () => void): void {
  try {
    answer();
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    exchange.fail(error.problem());
  }
}
