/**
 * News of one master: which keys under the prefix have changed.
 *
 *   tracker         ── CLIENT TRACKING ON REDIRECT <id> BCAST PREFIX <prefix> ──► master
 *   subscriber <id> ── SUBSCRIBE __redis__:invalidate ◄── keys that changed ────────┘
 *
 * Two connections, as a subscriber can run no other command in RESP2. The loss of either ends the news, and nobody is
 * told when it is the tracker's: both are watched, and asked from time to time, as a connection can be dead without
 * having been closed. Both are made anew after a loss, so that nothing of the old ones can pass for the new.
 */
import type { Redis } from 'ioredis';

const CHANNEL = '__redis__:invalidate';
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;

export interface TrackedMasterParts {
  readonly prefix: string;
  /** Makes a connection to the master. */
  readonly connect: () => Redis;
  /** Redis keys that have changed; `null` when any may have. */
  readonly onChanged: (keys: readonly Buffer[] | null) => void;
  /** `isTracked` is now true, or no longer: then with the reason. */
  readonly onState: (lost?: string) => void;
  /** Why it is given up for now: each time, tracked before or not. */
  readonly onTrouble: (reason: string) => void;
}

interface Pair {
  readonly tracker: Redis;
  readonly subscriber: Redis;
  subscriberId: number;
}

export class TrackedMaster {
  readonly #parts: TrackedMasterParts;
  /** The connections in use or being made. */
  #pair: Pair | undefined;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #isTracked = false;

  constructor(parts: TrackedMasterParts) {
    this.#parts = parts;
    this.#begin();
  }

  get isTracked(): boolean {
    return this.#isTracked;
  }

  /** Asks both connections; when one does not answer in time, or the server no longer tracks, both are given up. */
  async beat(timeoutMs: number): Promise<void> {
    const pair = this.#pair;
    if (!this.#isTracked || pair === undefined) return;
    const { tracker, subscriber, subscriberId } = pair;
    try {
      const answers = Promise.all([tracker.call('CLIENT', 'TRACKINGINFO'), subscriber.ping()]);
      const [info] = await within(timeoutMs, answers);
      if (!redirectsTo(info, subscriberId)) throw new Error('the server no longer tracks');
    } catch (error) {
      this.#lose(pair, `no sign of life: ${messageOf(error)}`);
    }
  }

  /** Stops, without a word to `onState`. */
  close(): void {
    clearTimeout(this.#retry);
    this.#isTracked = false;
    this.#drop();
  }

  #begin(): void {
    const { connect } = this.#parts;
    const pair: Pair = { tracker: connect(), subscriber: connect(), subscriberId: 0 };
    this.#pair = pair;
    for (const client of [pair.tracker, pair.subscriber]) {
      client.on('error', () => undefined);
      client.on('close', () => this.#lose(pair, 'a connection was closed'));
    }
    pair.subscriber.on('messageBuffer', (_channel: Buffer, keys: unknown) => {
      if (pair === this.#pair) this.#parts.onChanged(areKeys(keys) ? keys : null);
    });
    this.#establish(pair).then(
      () => {
        if (pair !== this.#pair) return;
        this.#failures = 0;
        this.#isTracked = true;
        this.#parts.onState();
      },
      error => this.#lose(pair, messageOf(error)),
    );
  }

  async #establish(pair: Pair): Promise<void> {
    const { tracker, subscriber } = pair;
    await Promise.all([tracker.connect(), subscriber.connect()]);
    // Fails while the server loads its data: it would tell of each record that it finds in its file as of a change.
    await tracker.ping();
    pair.subscriberId = await subscriber.client('ID');
    await subscriber.subscribe(CHANNEL);
    const where = ['REDIRECT', pair.subscriberId, 'BCAST', 'PREFIX', this.#parts.prefix];
    await tracker.call('CLIENT', 'TRACKING', 'ON', ...where);
  }

  /** What the pair tracked is not tracked any more; begins anew after a while. */
  #lose(pair: Pair, reason: string): void {
    if (pair !== this.#pair) return;
    this.#drop();
    const wasTracked = this.#isTracked;
    this.#isTracked = false;
    const delay = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures++, 10));
    this.#retry = setTimeout(() => this.#begin(), delay * (0.5 + Math.random() / 2));
    this.#parts.onTrouble(reason);
    if (wasTracked) this.#parts.onState(reason);
  }

  #drop(): void {
    const pair = this.#pair;
    this.#pair = undefined;
    pair?.tracker.disconnect();
    pair?.subscriber.disconnect();
  }
}

/** What is no list of keys says at least that something has changed. */
function areKeys(keys: unknown): keys is readonly Buffer[] {
  return Array.isArray(keys) && keys.every(key => Buffer.isBuffer(key));
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
