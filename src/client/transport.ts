/**
 * Requests over a pool of connections, each call within its time:
 *
 *   call ──► attempt ──► answer                             2xx, or a status that the caller expects
 *              ▲   └───► failed ──► safe to send again? ──► backs off, with full jitter, while there is time
 *              └──────────────────────┘
 *
 * What is safe follows from the contract. A read, and whatever has the effect of once when done twice, is sent again
 * after any failure that may pass. A write is sent again only when it surely did not happen: it never left, or was
 * answered `overloaded`.
 */
import { Pool } from 'undici';
import { CallDeadline } from './call-deadline.js';
import { ClientError, errorOfAnswer, localError } from './client-error.js';
import type { ClientSettings } from './client-options.js';
import { HedgeBudget, hedged } from './hedge.js';

export interface CallOptions {
  /** For this call instead of the client's. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Call extends CallOptions {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** `read`: may also be hedged. `once`: only when it surely did not happen. */
  readonly repeat: 'read' | 'safe' | 'once' | 'never';
  /** Statuses of errors that the caller makes sense of. */
  readonly expected?: readonly number[];
}

export interface Answer {
  readonly status: number;
  /** Fills its buffer from the first byte on. */
  readonly bytes: Uint8Array;
  /** '' when it is absent. */
  header(name: string): string;
}

const BACK_OFF_MS = 50;
/** So that a call that cannot connect ends by its own time. */
const CONNECT_SPARE_MS = 1_000;
/** Answers that may be others at the next try. */
const PASSING_CODES: readonly string[] = ['overloaded', 'unavailable', 'draining', 'deadline', 'connection'];
/** The connection was never made, so nothing was asked. */
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export class Transport {
  readonly settings: ClientSettings;
  readonly #pool: Pool;
  readonly #hedges = new HedgeBudget();
  #pending = 0;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(settings: ClientSettings) {
    this.settings = settings;
    this.#pool = new Pool(settings.url.origin, {
      connections: settings.connections,
      // Each call has its own time, and a connection hardly more.
      connect: { timeout: settings.timeoutMs + CONNECT_SPARE_MS },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** @throws ClientError unless the answer's status is of success or expected. */
  async send(call: Call): Promise<Answer> {
    const { timeoutMs = this.settings.timeoutMs, signal } = call;
    return this.#within(timeoutMs, signal, deadline => this.#attempts(call, deadline));
  }

  /** Sends a body that can be sent only once, as it comes. */
  async stream(call: Omit<Call, 'body' | 'repeat'>, body: AsyncIterable<Uint8Array>): Promise<Answer> {
    const { timeoutMs = this.settings.loadTimeoutMs, signal } = call;
    const whole: Call = { ...call, repeat: 'never' };
    return this.#within(timeoutMs, signal, async deadline => {
      try {
        const answer = await this.#request(whole, deadline.attempt(), body);
        if (isTaken(whole, answer)) return answer;
        throw failureOf(answer);
      } catch (error) {
        throw deadline.reason ?? error;
      }
    });
  }

  /** Waits for what is under way, which its own time bounds. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#closing ??= this.#pool.close();
    return this.#closing;
  }

  async #within<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    run: (deadline: CallDeadline) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw localError('closed');
    if (this.#pending >= this.settings.pendingMax) throw localError('busy', `${this.#pending} (pendingMax)`);
    this.#pending++;
    const deadline = new CallDeadline(timeoutMs, signal);
    try {
      return await run(deadline);
    } finally {
      deadline.end();
      this.#pending--;
    }
  }

  async #attempts(call: Call, deadline: CallDeadline): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      let failure: ClientError;
      try {
        const answer = await this.#once(call, deadline);
        if (isTaken(call, answer)) return answer;
        failure = failureOf(answer);
      } catch (error) {
        if (deadline.reason !== undefined) throw deadline.reason;
        if (!(error instanceof ClientError)) throw error;
        failure = error;
      }
      if (attempt >= this.settings.retriesMax || !mayRepeat(call, failure)) throw failure;
      const waitMs = Math.max(failure.retryAfterMs, Math.random() * BACK_OFF_MS * 2 ** attempt);
      if (waitMs >= deadline.leftMs) throw failure;
      await deadline.rest(waitMs);
    }
  }

  #once(call: Call, deadline: CallDeadline): Promise<Answer> {
    const { hedgeAfterMs } = this.settings;
    if (call.repeat !== 'read' || hedgeAfterMs === 0)
      return this.#request(call, deadline.attempt(), call.body);
    this.#hedges.earn();
    return hedged(
      attempt => this.#request(call, attempt, call.body),
      () => deadline.attempt(),
      hedgeAfterMs,
      () => this.#hedges.spend(),
    );
  }

  async #request(
    { method, path, headers }: Call,
    { signal }: AbortController,
    body: string | Uint8Array | AsyncIterable<Uint8Array> | undefined,
  ): Promise<Answer> {
    try {
      const {
        statusCode,
        headers: answered,
        body: answer,
      } = await this.#pool.request({
        method,
        path,
        headers: { ...this.settings.headers, ...headers },
        // Undici takes iterables; its types do not say so.
        body: (body ?? null) as Uint8Array | null,
        signal,
      });
      const bytes = await collected(answer, this.settings.answerBytesMax);
      const header = (name: string) => String(answered[name] ?? '');
      return { status: statusCode, bytes, header };
    } catch (error) {
      throw connectionError(error);
    }
  }
}

async function collected(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > bytesMax)
      throw localError('bad-answer', `it has more than ${bytesMax} bytes (answerBytesMax)`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function isTaken({ expected = [] }: Call, { status }: Answer): boolean {
  return (status >= 200 && status < 300) || expected.includes(status);
}

function failureOf({ status, bytes, header }: Answer): ClientError {
  return errorOfAnswer({
    status,
    bytes,
    contentType: header('content-type'),
    retryAfter: header('retry-after'),
  });
}

function mayRepeat({ repeat }: Call, { code, status, wasRefused }: ClientError): boolean {
  if (repeat === 'never') return false;
  // A load balancer without a server.
  const mayPass = PASSING_CODES.includes(code) || (code === 'bad-answer' && status >= 502 && status <= 504);
  return mayPass && (repeat !== 'once' || wasRefused);
}

function connectionError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = error instanceof Error ? error.message || code : String(error);
  if (code.startsWith('HPE_')) return localError('bad-answer', reason, error);
  if (code === 'UND_ERR_INVALID_ARG')
    return new ClientError('bad-header', `the request cannot be sent: ${reason}`, {
      cause: error,
      wasRefused: true,
    });
  return new ClientError('connection', `the connection failed: ${reason}`, {
    cause: error,
    wasRefused: NEVER_SENT.has(code),
  });
}
