/**
 * The contract between an HTTP listener and the handlers: two implementations (`uws.ts`, `node.ts`), one test suite.
 *
 * A `Handler` is called once a request, with the head of it. It answers before it returns, or it calls `later()` (for
 * an answer that must wait) or reads the body; an `Exchange` that was not handed on that way is recycled when the
 * handler returns, so that a hit allocates nothing. Every exchange is answered exactly once: a handler that throws, or
 * returns without any of these, makes a 500.
 */
import type { Problem } from '../base/errors.js';
import type { HeaderName } from './header-names.js';

/** Name, value, name, value, …; names in lower case, values ASCII without line breaks. */
export type Headers = readonly string[];

/** The same, ready to be sent again and again, for a front that can send them as they are. */
export interface ReadyHeaders {
  readonly pairs: Headers;
  /** All behind `content-type: `, which is the first. */
  readonly bytes: ArrayBuffer | Uint8Array;
}

export type Body = Uint8Array | string;

export interface Exchange {
  /** As on the wire, upper case. */
  readonly method: string;
  /** Path without the query, still percent-encoded: ASCII, anything else was answered with 400. */
  readonly path: string;
  /** Query without `?`, still encoded; '' when there is none. */
  readonly query: string;
  /** True once the client has gone away; answers are then dropped. */
  readonly aborted: boolean;

  /** Value of a header, '' when absent. Only until the handler returns. */
  header(name: HeaderName): string;

  /** The same of a header that is a list, and may come in several lines: all of them, with a comma between. */
  headerList(name: string): string;

  /**
   * Keeps this exchange beyond the handler's return, and returns it. `onAbort` is called when the client goes away
   * unanswered. What needs the body must be called before the handler returns.
   */
  later(onAbort?: () => void): Exchange;

  /**
   * Collects the body and hands it on whole. A body over `limitBytes` is answered with 413 here, and one that is cut
   * off is dropped; `done` is then not called. The array is the receiver's to keep.
   */
  readBody(limitBytes: number, done: (body: Uint8Array, exchange: Exchange) => void): void;

  /** Hands the body on as it comes. The chunk is valid until the call returns. See `BodySink` for backpressure. */
  streamBody(sink: BodySink): BodySource;

  /** Answers. `content-length` and `date` are added here; a HEAD's body is measured, not sent. */
  respond(status: number, headers: Headers | ReadyHeaders, body: Body): void;

  /** Answers with `application/problem+json`; `headers` are added (`allow`, `retry-after`, `cache-status`). */
  fail(problem: Problem, headers?: Headers): void;
}

export interface BodySink {
  chunk(bytes: Uint8Array, exchange: Exchange): void;
  end(exchange: Exchange): void;
  /** The client went away, or the connection broke, before the end. */
  abort(): void;
}

/**
 * Backpressure: while paused, nothing is handed on and the client's socket is not read (what is read already, a few
 * MiB, is held). That the client has gone away is noticed only when reading goes on.
 */
export interface BodySource {
  pause(): void;
  resume(): void;
}

export type Handler = (exchange: Exchange) => void;

export interface FrontLimits {
  /** Bytes of the request line and all headers; passed: 431. */
  readonly headerBytesMax: number;
  /** Bytes of path and query; passed: 414. */
  readonly pathBytesMax: number;
  /**
   * A connection that sends or takes nothing for this long, while that is what is waited for, is closed.
   * uWebSockets.js has 10 seconds built in.
   */
  readonly idleTimeoutMs: number;
  /** Open connections; further ones are closed at once. */
  readonly connectionsMax: number;
}

export interface FrontOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly limits: FrontLimits;
  readonly handler: Handler;
  /** Problems say `cache-status` too, those included that no handler sees; other answers have the handlers' headers. */
  readonly cacheStatus?: boolean;
  /** Told of each problem that is answered. */
  readonly onProblem?: (problem: Problem) => void;
  /** A handler that threw: a bug, to be logged. */
  readonly onError: (error: unknown) => void;
}

export interface Front {
  readonly kind: 'uws' | 'node';
  readonly port: number;
  /** Accepts no further connection. Open ones go on until their next answer, which says `connection: close`. */
  stopAccepting(): void;
  /** Requests begun whose answer is not with the system yet. */
  readonly pending: number;
  /** Closes every connection, idle or not: first `stopAccepting`, then wait for `pending` to reach 0. */
  close(): Promise<void>;
}

/** @throws HeadraceError or the system's error when the address cannot be listened on. */
export type OpenFront = (options: FrontOptions) => Promise<Front>;
