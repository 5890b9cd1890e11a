/**
 * One request on uWebSockets.js, and the only code that touches its response object.
 *
 * uWebSockets.js ends the process when a handler returns with neither an answer nor an abort handler, and throws when
 * a response is used after its answer or abort. So an exchange is `open` exactly as long as its response may be used:
 *
 *   begin ──► open ──► answered      respond, fail
 *               │
 *               └────► aborted       only when kept: later, readBody, streamBody
 *
 * and `settle`, called when the handler has returned, answers for a handler that did nothing. An exchange that was not
 * kept is used again for the next request: a hit allocates neither exchange nor closure.
 */
import { assert } from '../base/assert.js';
import type { Problem } from '../base/errors.js';
import { readWhole } from './body-buffer.js';
import type { Body, BodySink, BodySource, Exchange, Headers, ReadyHeaders } from './front.js';
import { CONTENT_TYPE, type HeaderName } from './header-names.js';
import { HeldChunks } from './held-chunks.js';
import { answerProblem, BODY_HELD_UP, HANDLER_FAILED, HANDLER_SILENT } from './problem-answer.js';
import { statusLine } from './status-line.js';
import type { UwsRequest, UwsResponse } from './uws-api.js';

/** Answers above this are counted as pending until the socket has taken them; smaller ones fit any send buffer. */
const LARGE_BYTES = 32_768;

enum State {
  Open,
  Answered,
  Aborted,
}

/** What all exchanges of a front share. */
export interface UwsFrontState {
  pending: number;
  draining: boolean;
  readonly cacheStatus: boolean;
  readonly onProblem: ((problem: Problem) => void) | undefined;
  readonly onError: (error: unknown) => void;
}

export class UwsExchange implements Exchange {
  method = '';
  path = '';
  query = '';

  readonly #front: UwsFrontState;
  #state = State.Answered;
  #res: UwsResponse | undefined;
  /** Only while the handler runs. */
  #req: UwsRequest | undefined;
  #kept = false;
  #paused = false;
  #closing = false;
  #onAbort: (() => void) | undefined;
  #sink: BodySink | undefined;
  /** Only ever used by exchanges that are kept. */
  readonly #held = new HeldChunks();

  constructor(front: UwsFrontState) {
    this.#front = front;
  }

  get aborted(): boolean {
    return this.#state === State.Aborted;
  }

  begin(res: UwsResponse, req: UwsRequest, method: string): void {
    this.method = method;
    this.path = req.getUrl();
    this.query = req.getQuery() ?? '';
    this.#res = res;
    this.#req = req;
    this.#state = State.Open;
    this.#closing = this.#front.draining;
    this.#front.pending += 1;
  }

  /** The handler has returned: false when the exchange was kept, true when it may begin again. */
  settle(): boolean {
    if (this.#kept) {
      this.#req = undefined;
      return false;
    }
    if (this.#state === State.Open) {
      this.#front.onError(new Error(`the handler did not answer ${this.method} ${this.path}`));
      this.fail(HANDLER_SILENT);
    }
    this.#req = undefined;
    this.#res = undefined;
    return true;
  }

  /**
   * Where the request ends is in doubt: nothing behind it may be served. It is answered in the next turn of the loop,
   * since uWebSockets.js closes the connection when, until then, it finds a request behind one that is not answered.
   */
  refuse(problem: Problem): void {
    this.#keep();
    this.#closing = true;
    setImmediate(() => this.fail(problem));
  }

  header({ bytes }: HeaderName): string {
    assert(this.#req !== undefined, 'headers can be read only until the handler returns');
    return this.#req.getHeader(bytes);
  }

  headerList(name: string): string {
    assert(this.#req !== undefined, 'headers can be read only until the handler returns');
    const lines: string[] = [];
    this.#req.forEach((line, value) => {
      if (line === name) lines.push(value);
    });
    return lines.join(', ');
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
    assert(this.#req !== undefined, 'a body can be read only before the handler returns');
    this.#keep();
    if (this.#state === State.Open) {
      this.#sink = sink;
      this.#res?.onData((chunk, last) => this.#receive(chunk, last));
    }
    return { pause: () => this.#pause(), resume: () => this.#resume() };
  }

  respond(status: number, headers: Headers | ReadyHeaders, body: Body): void {
    const res = this.#res;
    if (this.#state !== State.Open || res === undefined) return;
    // Whatever of the body is still to come is read past, so that the next request can be found.
    this.#sink = undefined;
    this.#held.clear();
    this.#resume();
    this.#state = State.Answered;
    this.#onAbort = undefined;
    // While the handler runs the socket is corked already.
    if (this.#req !== undefined) this.#answer(res, status, headers, body);
    else res.cork(() => this.#answer(res, status, headers, body));
  }

  fail(problem: Problem, headers: Headers = []): void {
    if (this.#state !== State.Open) return;
    this.#front.onProblem?.(problem);
    answerProblem(this, problem, headers, this.#front.cacheStatus);
  }

  #answer(res: UwsResponse, status: number, headers: Headers | ReadyHeaders, body: Body): void {
    try {
      if (this.#write(res, status, headers, body)) this.#front.pending -= 1;
    } catch (error) {
      // A header or body of a wrong type. The answer is cut, so nothing sane can follow on this connection.
      this.#front.pending -= 1;
      this.#front.onError(error);
      res.close();
    }
  }

  /** True when the answer is with the socket, false when `#writeLarge` goes on. */
  #write(res: UwsResponse, status: number, headers: Headers | ReadyHeaders, body: Body): boolean {
    if (status !== 200) res.writeStatus(statusLine(status));
    if ('bytes' in headers) res.writeHeader(CONTENT_TYPE.bytes, headers.bytes);
    else if (headers.length > 0) res.writeHeader(headers[0]!, behindFirstName(headers));
    const closing = this.#closing || this.#front.draining;
    const bodiless = status === 204 || status === 304;
    if (bodiless || this.method === 'HEAD') {
      if (!bodiless) res.writeHeader('content-length', String(Buffer.byteLength(body)));
      if (closing) res.writeHeader('connection', 'close');
      res.endWithoutBody();
      return true;
    }
    if (body.length <= LARGE_BYTES) {
      res.end(body, closing);
      return true;
    }
    if (closing) res.writeHeader('connection', 'close');
    return writeLarge(res, typeof body === 'string' ? Buffer.from(body) : body, this.#front);
  }

  #receive(chunk: ArrayBuffer, last: boolean): void {
    if (this.#sink === undefined) return;
    if (!this.#paused) this.#deliver(new Uint8Array(chunk), last);
    else if (!this.#held.add(chunk, last)) this.refuse(BODY_HELD_UP);
    // uWebSockets.js arms its timeout of 10 seconds before each chunk, also when paused, and again only after 160 KiB:
    // without this a paused upload, or one of a slow producer, is cut off.
    if (this.#state !== State.Open) return;
    this.#res?.pause();
    if (!this.#paused) this.#res?.resume();
  }

  #deliver(bytes: Uint8Array, last: boolean): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    try {
      if (bytes.byteLength > 0) sink.chunk(bytes, this);
      if (this.#sink === undefined || !last) return;
      this.#sink = undefined;
      sink.end(this);
    } catch (error) {
      this.#front.onError(error);
      this.fail(HANDLER_FAILED);
    }
  }

  #pause(): void {
    if (this.#state !== State.Open || this.#paused) return;
    this.#paused = true;
    this.#res?.pause();
  }

  /** What came while paused is handed on first; that may pause again. */
  #resume(): void {
    if (this.#state !== State.Open || !this.#paused) return;
    this.#paused = false;
    const deliver = (bytes: Uint8Array, last: boolean) => this.#deliver(bytes, last);
    while (!this.#paused && this.#sink !== undefined && this.#held.take(deliver));
    if (this.#state === State.Open && !this.#paused) this.#res?.resume();
  }

  #keep(): void {
    if (this.#kept || this.#state !== State.Open) return;
    assert(this.#req !== undefined, 'an exchange can be kept only before the handler returns');
    this.#kept = true;
    this.#res?.onAborted(() => this.#abort());
  }

  #abort(): void {
    if (this.#state !== State.Open) return;
    this.#state = State.Aborted;
    this.#front.pending -= 1;
    const sink = this.#sink;
    const onAbort = this.#onAbort;
    this.#sink = undefined;
    this.#held.clear();
    this.#onAbort = undefined;
    try {
      sink?.abort();
      onAbort?.();
    } catch (error) {
      this.#front.onError(error);
    }
  }
}

/**
 * Writes what the socket takes and the rest as it drains; true when all is written already. The rest is copied, since
 * the caller's array is the caller's again once this returns.
 */
function writeLarge(res: UwsResponse, body: Uint8Array, front: UwsFrontState): boolean {
  const [, done] = res.tryEnd(body, body.byteLength);
  if (done) return true;
  const begin = res.getWriteOffset();
  // Not `slice`: a Buffer's gives a view.
  const rest = new Uint8Array(body.subarray(begin));
  res.onAborted(() => {
    front.pending -= 1;
  });
  res.onWritable(offset => {
    const [taken, complete] = res.tryEnd(rest.subarray(offset - begin), body.byteLength);
    if (complete) front.pending -= 1;
    return taken;
  });
  return false;
}

/** Handed over as one text, four headers take less than half of the time that they take one by one. */
function behindFirstName(headers: Headers): string {
  let text = headers[1]!;
  for (let at = 2; at + 1 < headers.length; at += 2) text += `\r\n${headers[at]!}: ${headers[at + 1]!}`;
  return text;
}
