/** What all paths are read and refused with. */
import { HeadraceError, problemOf } from '../base/errors.js';
import { idProblem } from '../base/keys.js';
import type { Exchange } from './front.js';
import { readQuery } from './query.js';

/** A method is any word on the wire: `constructor` is none of ours. */
export function handlerOf<H>(handlers: Readonly<Record<string, H>>, method: string): H | undefined {
  return Object.hasOwn(handlers, method) ? handlers[method] : undefined;
}

export function allowed(handlers: Readonly<Record<string, unknown>>): string {
  return Object.keys(handlers).join(', ');
}

export function refuse(exchange: Exchange, methods: string): void {
  const detail = `${exchange.method} is not allowed here, but ${methods}`;
  exchange.fail(problemOf('method-not-allowed', detail), ['allow', methods]);
}

/** Reading a record and loading have parameters, and check them. */
export function refuseQuery(exchange: Exchange): void {
  readQuery(exchange.query, []);
}

export function unknownPath(exchange: Exchange): void {
  exchange.fail(problemOf('not-found', `there is nothing at ${exchange.path.slice(0, 200)}`));
}

/** An id with a `/` in it may come as `%2F` or plain. */
export function idOf(encoded: string): string {
  const id = decode(encoded);
  const problem = idProblem(id);
  if (problem !== undefined) throw new HeadraceError('bad-id', problem);
  return id;
}

export function decode(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw new HeadraceError('bad-encoding', `'${encoded.slice(0, 100)}' is not percent-encoded UTF-8`);
  }
}
