/**
 * Questions to an HTTP origin over a pool of connections, and what may come back:
 *
 *   200, 203, 204   an answer                            404, 410   none, which is an answer too
 *   5xx, no answer in time, a reset, an early end        `unavailable`, asked again after a pause while time is left
 *   no connection, no address                            `unavailable`, not asked again
 *   other statuses, redirects among them, too large,     a `TierRefusal`: the origin is there, and asking again
 *   compressed                                           is of no use
 *
 * Pauses are 100, 200 and 400 ms at the longest, with full jitter as in the guard of the tiers. A question is asked again
 * only if the longest pause that can be drawn ends before the deadline. The origin is told how long an answer is waited
 * for: `headrace-deadline: 250ms`.
 *
 * Nothing compressed is asked for, and what comes compressed all the same is refused: so the limit of a response is that
 * of its bytes, and counted as they arrive. Redirects are not followed: they would lead past the allowlist.
 */
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { type Dispatcher, Pool } from 'undici';
import { type Clock, systemClock } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import { HeadraceError } from '../base/errors.js';
import { guardLookup } from '../base/origin-address.js';
import type { OriginTarget } from '../base/origin-url.js';
import { TierRefusal } from '../base/tier.js';

export interface ExchangeOptions {
  /** Connections of this pool; every lane has its own. */
  readonly connections: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
  /** Of one attempt, its waiting for a connection included. */
  readonly timeoutMs: number;
  /** Attempts after the first. */
  readonly retriesMax: number;
  /** The longest pause before the first of them; each next may be twice as long. */
  readonly pauseMs: number;
  /** The body of a response. */
  readonly responseBytesMax: number;
}

export const EXCHANGE_DEFAULTS: ExchangeOptions = {
  connections: 10,
  keepAliveMs: 90_000,
  connectTimeoutMs: 30_000,
  timeoutMs: 30_000,
  retriesMax: 3,
  pauseMs: 100,
  responseBytesMax: 16 * 2 ** 20,
};

export interface ExchangeParts {
  readonly clock?: Clock;
  /** From 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly lookup?: LookupFunction;
}

export interface OriginRequest {
  readonly path: string;
  /** A JSON text to post; without it, GET. */
  readonly body?: string;
}

export interface OriginReply {
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Uint8Array;
}

const NAMED = { 'accept-encoding': 'identity', 'user-agent': 'headrace' };
const HAS_VALUE = [200, 203, 204];
const HAS_NONE = [404, 410];
/** Of a body that nobody wants: below it, reading on is cheaper than a new connection. */
const UNWANTED = { bytesMax: 16_384, msMax: 1_000 };
/** Timeouts, resets and early ends, as Node and undici call them. */
const PASSING = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
]);
/** An early end that undici's parser finds; it has no code. */
const PARSER_END = 'Invalid EOF state';

/** May be gone at the next attempt. */
class PassingFailure extends HeadraceError {
  constructor(message: string) {
    super('unavailable', message);
  }
}

export class OriginExchange {
  readonly #target: OriginTarget;
  readonly #options: ExchangeOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #pool: Pool;
  /** Attempts so far, and those of them that were not the first. */
  attempts = 0;
  retries = 0;

  /** Connects when first asked. */
  constructor(target: OriginTarget, options: ExchangeOptions, parts: ExchangeParts = {}) {
    this.#target = target;
    this.#options = options;
    this.#clock = parts.clock ?? systemClock;
    this.#random = parts.random ?? Math.random;
    this.#pool = new Pool(target.origin, {
      connections: options.connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: options.keepAliveMs,
      keepAliveMaxTimeout: options.keepAliveMs,
      // Each attempt has its own timer, over head and body together.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        timeout: options.connectTimeoutMs,
        lookup: guardLookup(parts.lookup ?? systemLookup, target.mayConnect),
      },
    });
  }

  /** The answer; `undefined` where the origin has none. @throws HeadraceError, see above, or `deadline`. */
  async ask(request: OriginRequest, deadlineMs: number): Promise<OriginReply | undefined> {
    for (let retry = 0; ; retry++) {
      try {
        return await this.#attempt(request, deadlineMs);
      } catch (error) {
        if (!(error instanceof PassingFailure) || retry === this.#options.retriesMax) throw error;
        const pauseMsMax = this.#options.pauseMs * 2 ** retry;
        if (this.#clock.now() + pauseMsMax >= deadlineMs) throw error;
        await after(this.#random() * pauseMsMax);
        this.retries++;
      }
    }
  }

  /** Resolves when it is there: any answer will do. @throws HeadraceError */
  async ping(): Promise<void> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs);
    try {
      const { body } = await this.#pool.request({ path: '/', method: 'HEAD', headers: NAMED, signal });
      await body.dump();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** What is under way fails. */
  close(): Promise<void> {
    return this.#pool.destroy();
  }

  async #attempt(request: OriginRequest, deadlineMs: number): Promise<OriginReply | undefined> {
    const { timeoutMs } = this.#options;
    const leftMs = deadlineMs - this.#clock.now();
    const late = new HeadraceError('deadline', `the deadline passed before ${this.#name} answered`);
    if (leftMs <= 0) throw late;
    const waitMs = Math.ceil(Math.min(leftMs, timeoutMs));
    const over = new AbortController();
    const giveUp = () =>
      over.abort(
        leftMs <= timeoutMs
          ? late
          : new PassingFailure(`${this.#name} did not answer within ${formatDuration(timeoutMs)}`),
      );
    const timer = setTimeout(giveUp, waitMs);
    this.attempts++;
    try {
      return await this.#read(await this.#send(request, waitMs, over.signal));
    } catch (error) {
      throw over.signal.aborted ? over.signal.reason : this.#failure(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #send(
    { path, body }: OriginRequest,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const headers = { ...NAMED, 'headrace-deadline': `${waitMs}ms` };
    if (body === undefined) return this.#pool.request({ path, method: 'GET', headers, signal });
    const type = { accept: 'application/json', 'content-type': 'application/json' };
    return this.#pool.request({ path, method: 'POST', headers: { ...headers, ...type }, body, signal });
  }

  async #read({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<OriginReply | undefined> {
    const refusal = this.#refusal(statusCode, headers);
    if (refusal === undefined && HAS_VALUE.includes(statusCode)) {
      return { headers, body: await this.#readBody(body) };
    }
    const signal = AbortSignal.timeout(UNWANTED.msMax);
    body.dump({ limit: UNWANTED.bytesMax, signal }).catch(() => undefined);
    if (refusal === undefined) return undefined;
    throw refusal;
  }

  #refusal(statusCode: number, headers: OriginReply['headers']): HeadraceError | undefined {
    const answered = `${this.#name} answered with the status ${statusCode}`;
    if (HAS_NONE.includes(statusCode)) return undefined;
    if (statusCode >= 500) return new PassingFailure(answered);
    if (statusCode >= 300 && statusCode < 400) {
      return new TierRefusal(`${answered}; redirects are not followed`);
    }
    if (!HAS_VALUE.includes(statusCode)) return new TierRefusal(answered);
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && String(encoding).toLowerCase() !== 'identity') {
      return new TierRefusal(`${this.#name} answered with a compressed body, which was not asked for`);
    }
    return Number(headers['content-length'] ?? 0) > this.#options.responseBytesMax
      ? this.#tooLarge()
      : undefined;
  }

  async #readBody(body: Dispatcher.ResponseData['body']): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > this.#options.responseBytesMax) throw this.#tooLarge();
      chunks.push(chunk);
    }
    // Memory of its own: what is pooled could not cross a thread.
    const whole = new Uint8Array(bytes);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  get #name(): string {
    return `the origin ${this.#target.host}`;
  }

  #tooLarge(): TierRefusal {
    return new TierRefusal(`${this.#name} answered with more than ${this.#options.responseBytesMax} bytes`);
  }

  /** What Node or undici threw, as an error of ours; ours are passed on. */
  #failure(error: unknown): HeadraceError {
    if (error instanceof HeadraceError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    const message = `${this.#name} did not answer: ${reason}`;
    const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
    const isPassing = PASSING.has(String(code)) || reason.includes(PARSER_END);
    return isPassing ? new PassingFailure(message) : new HeadraceError('unavailable', message);
  }
}
