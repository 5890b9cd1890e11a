/** One request on node:http. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assert } from '../base/assert.js';
import type { Problem } from '../base/errors.js';
import { readWhole } from './body-buffer.js';
import type { Body, BodySink, BodySource, Exchange, FrontLimits, Headers, ReadyHeaders } from './front.js';
import type { HeaderName } from './header-names.js';
import { answerProblem, HANDLER_FAILED, HANDLER_SILENT } from './problem-answer.js';

/** `http://host` before the path, as a client sends it to a proxy. */
const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i;

/** What all exchanges of a front share. */
export interface NodeFrontState {
  pending: number;
  draining: boolean;
  readonly cacheStatus: boolean;
  readonly limits: FrontLimits;
  readonly onProblem: ((problem: Problem) => void) | undefined;
  readonly onError: (error: unknown) => void;
}

export class NodeExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;

  readonly #front: NodeFrontState;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  #state: 'open' | 'answered' | 'aborted' = 'open';
  #inHandler = true;
  #kept = false;
  #over = false;
  #onAbort: (() => void) | undefined;
  #sink: BodySink | undefined;
  #paused = false;
  #closing = false;

  constructor(front: NodeFrontState, req: IncomingMessage, res: ServerResponse) {
    const target = targetOf(req.url ?? '/');
    const mark = target.indexOf('?');
    this.method = req.method ?? 'GET';
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.query = mark < 0 ? '' : target.slice(mark + 1);
    this.#front = front;
    this.#req = req;
    this.#res = res;
    front.pending += 1;
  }

  get aborted(): boolean {
    return this.#state === 'aborted';
  }

  /** False while bytes of the client, or its taking of ours, are waited for. */
  get waitsForServer(): boolean {
    return this.#state === 'open' && (this.#sink === undefined || this.#paused);
  }

  /** The handler has returned. */
  settle(): void {
    this.#inHandler = false;
    if (this.#kept || this.#state !== 'open') return;
    this.#front.onError(new Error(`the handler did not answer ${this.method} ${this.path}`));
    this.fail(HANDLER_SILENT);
  }

  /** True while bytes of the body are waited for. */
  get receiving(): boolean {
    return this.#state === 'open' && !this.#req.complete;
  }

  /** Nothing may be served behind this request: after the answer the connection is closed. */
  refuse(problem: Problem): void {
    this.#closing = true;
    this.fail(problem);
  }

  /** The answer is with the system. */
  finished(): void {
    this.#end();
  }

  /** The connection is gone. */
  disconnected(): void {
    this.#end();
    if (this.#state !== 'open') return;
    this.#state = 'aborted';
    const sink = this.#sink;
    this.#sink = undefined;
    this.#guard(() => {
      sink?.abort();
      this.#onAbort?.();
    });
  }

  header({ text }: HeaderName): string {
    assert(this.#inHandler, 'headers can be read only until the handler returns');
    const value = this.#req.headers[text];
    return Array.isArray(value) ? (value[0] ?? '') : (value ?? '');
  }

  headerList(name: string): string {
    assert(this.#inHandler, 'headers can be read only until the handler returns');
    return this.#req.headersDistinct[name]?.join(', ') ?? '';
  }

  later(onAbort?: () => void): Exchange {
    this.#keep();
    if (onAbort !== undefined) this.#onAbort = onAbort;
    return this;
  }

  readBody(limitBytes: number, done: (body: Uint8Array, exchange: Exchange) => void): void {
    readWhole(this, limitBytes, done);
  }

  streamBody(sink: BodySink): BodySource {
    assert(this.#inHandler, 'a body can be read only before the handler returns');
    this.#keep();
    if (this.#state === 'open') {
      this.#sink = sink;
      this.#req.on('data', (chunk: Buffer) => this.#guard(() => this.#sink?.chunk(chunk, this)));
      this.#req.on('end', () => {
        const ending = this.#sink;
        this.#sink = undefined;
        this.#guard(() => ending?.end(this));
      });
    }
    return { pause: () => this.#pause(), resume: () => this.#resume() };
  }

  respond(status: number, headers: Headers | ReadyHeaders, body: Body): void {
    if (this.#state !== 'open') return;
    // Whatever of the body is still to come is read past, so that the next request can be found.
    this.#resume();
    this.#state = 'answered';
    this.#sink = undefined;
    try {
      this.#write(status, 'pairs' in headers ? headers.pairs : headers, body);
    } catch (error) {
      // A header or body of a wrong type. The answer is cut, so nothing sane can follow on this connection.
      this.#front.onError(error);
      this.#req.socket.destroy();
    }
    if (!this.#req.complete) this.#boundRest();
  }

  fail(problem: Problem, headers: Headers = []): void {
    if (this.#state !== 'open') return;
    this.#front.onProblem?.(problem);
    answerProblem(this, problem, headers, this.#front.cacheStatus);
  }

  #write(status: number, headers: Headers, body: Body): void {
    const bodiless = status === 204 || status === 304;
    const all = bodiless ? [...headers] : [...headers, 'content-length', String(Buffer.byteLength(body))];
    if (this.#closing || this.#front.draining) all.push('connection', 'close');
    this.#res.writeHead(status, all);
    if (bodiless || this.method === 'HEAD') this.#res.end();
    // The caller's array is the caller's again once this returns.
    else this.#res.end(typeof body === 'string' ? body : Buffer.from(body));
  }

  /** A body that is read past after its answer may not go on for ever. */
  #boundRest(): void {
    const { socket } = this.#req;
    const timer = setTimeout(() => socket.destroy(), this.#front.limits.idleTimeoutMs);
    timer.unref();
    this.#req.once('close', () => clearTimeout(timer));
  }

  #pause(): void {
    if (this.#state !== 'open') return;
    this.#paused = true;
    this.#req.pause();
  }

  #resume(): void {
    if (this.#state !== 'open' || !this.#paused) return;
    this.#paused = false;
    this.#req.resume();
  }

  #keep(): void {
    assert(this.#inHandler || this.#kept, 'an exchange can be kept only before the handler returns');
    this.#kept = true;
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#front.onError(error);
      this.fail(HANDLER_FAILED);
    }
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#front.pending -= 1;
  }
}

/** Path and query of a request target. */
function targetOf(url: string): string {
  if (url.startsWith('/')) return url;
  const target = url.replace(ABSOLUTE_FORM, '');
  return target === '' || target.startsWith('?') ? `/${target}` : target;
}
