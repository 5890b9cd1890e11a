/**
 * News of one master: which keys under the prefix others have changed.
 *
 *   data connection ── CLIENT TRACKING ON REDIRECT <id> BCAST PREFIX <prefix> NOLOOP ──► master
 *   subscriber <id> ── SUBSCRIBE __redis__:invalidate ◄── keys changed by any other connection ──┘
 *
 * Redis spares a connection the news of its own writes only if that connection is the one that tracks: so tracking is
 * on at the connection that writes, and at one alone, since a second with the same subscriber would report the writes
 * of the first. Either of the two being lost ends the news, and Redis tells nobody when it is the data connection:
 * both are watched, and asked from time to time, as a connection can be dead without having been closed.
 */
import type { Redis } from 'ioredis';

const CHANNEL = '__redis__:invalidate';
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;

export interface TrackedMasterParts {
  /** The connection whose own writes are no news. */
  readonly data: Redis;
  readonly prefix: string;
  /** Makes a connection to the server that the data connection is connected to. */
  readonly sibling: (host: string, port: number) => Redis;
  /** Redis keys that have changed; `null` when all have. */
  readonly onChanged: (keys: readonly Buffer[] | null) => void;
  /** `isTracked` is now true, or no longer: then with the reason. */
  readonly onState: (lost?: string) => void;
}

export class TrackedMaster {
  readonly #parts: TrackedMasterParts;
  #subscriber: Redis | undefined;
  #subscriberId = 0;
  /** Raised whenever what was begun is void. */
  #attempt = 0;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #isTracked = false;
  #isClosed = false;

  constructor(parts: TrackedMasterParts) {
    this.#parts = parts;
    parts.data.on('close', this.#onDataClose);
    parts.data.on('ready', this.#onDataReady);
    this.#begin();
  }

  get data(): Redis {
    return this.#parts.data;
  }

  get isTracked(): boolean {
    return this.#isTracked;
  }

  /** Asks both connections; one that does not answer in time, or no longer tracks, is given up. */
  async beat(timeoutMs: number): Promise<void> {
    const [attempt, subscriber] = [this.#attempt, this.#subscriber];
    if (!this.#isTracked || subscriber === undefined) return;
    try {
      const answers = Promise.all([this.data.call('CLIENT', 'TRACKINGINFO'), subscriber.ping()]);
      const [info] = await within(timeoutMs, answers);
      if (!redirectsTo(info, this.#subscriberId)) throw new Error('the server no longer tracks for it');
    } catch (error) {
      if (attempt === this.#attempt) this.#end(`no sign of life: ${messageOf(error)}`);
    }
  }

  /** Stops, without a word to `onState`. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isTracked = false;
    this.#attempt++;
    clearTimeout(this.#retry);
    const { data } = this.#parts;
    data.off('close', this.#onDataClose);
    data.off('ready', this.#onDataReady);
    this.#subscriber?.disconnect();
    if (data.status === 'ready') data.call('CLIENT', 'TRACKING', 'OFF').catch(() => undefined);
  }

  readonly #onDataClose = (): void => this.#end('the data connection was closed');
  readonly #onDataReady = (): void => this.#begin();

  #begin(): void {
    clearTimeout(this.#retry);
    const attempt = ++this.#attempt;
    this.#establish(attempt).then(
      () => {
        if (attempt !== this.#attempt) return;
        this.#failures = 0;
        this.#isTracked = true;
        this.#parts.onState();
      },
      error => {
        if (attempt === this.#attempt) this.#end(messageOf(error));
      },
    );
  }

  async #establish(attempt: number): Promise<void> {
    const { data, prefix, sibling } = this.#parts;
    this.#subscriber?.disconnect();
    if (data.status === 'wait') await data.connect();
    if (attempt !== this.#attempt) return;
    const { remoteAddress, remotePort } = data.stream;
    if (data.status !== 'ready' || remoteAddress === undefined || remotePort === undefined) {
      throw new Error('there is no data connection');
    }
    const subscriber = sibling(remoteAddress, remotePort);
    this.#subscriber = subscriber;
    subscriber.on('error', () => undefined);
    subscriber.on('close', () => {
      if (attempt === this.#attempt) this.#end('the connection for invalidations was closed');
    });
    subscriber.on('messageBuffer', (_channel: Buffer, keys: unknown) => {
      this.#parts.onChanged(keys as readonly Buffer[] | null);
    });
    await subscriber.connect();
    const id = await subscriber.client('ID');
    await subscriber.subscribe(CHANNEL);
    if (attempt !== this.#attempt) return;
    // Off first: a prefix that is tracked already is refused.
    data.call('CLIENT', 'TRACKING', 'OFF').catch(() => undefined);
    const on = ['TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', prefix, 'NOLOOP'];
    await data.call('CLIENT', ...on);
    this.#subscriberId = id;
  }

  /** What was tracked is not any more; unless closed, it begins anew after a while. */
  #end(reason: string): void {
    if (this.#isClosed) return;
    this.#attempt++;
    this.#subscriber?.disconnect();
    this.#subscriber = undefined;
    const wasTracked = this.#isTracked;
    this.#isTracked = false;
    clearTimeout(this.#retry);
    const delay = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures++, 10));
    this.#retry = setTimeout(() => this.#begin(), delay * (0.5 + Math.random() / 2));
    if (wasTracked) this.#parts.onState(reason);
  }
}

function redirectsTo(info: unknown, subscriberId: number): boolean {
  if (!Array.isArray(info)) return false;
  const flags: unknown = info[info.indexOf('flags') + 1];
  const isBroken = !Array.isArray(flags) || flags.includes('broken_redirect');
  return !isBroken && info[info.indexOf('redirect') + 1] === subscriberId;
}

function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
