/** The client: one pool of connections to one server, or to the load balancer before several. */
import type { EventOutcome } from '../caches/events/event-outcome.js';
import { CacheClient, type CacheInfo } from './cache-client.js';
import { type Cached, type CachedOptions, cachedFunction } from './cached.js';
import { type ClientOptions, readClientOptions } from './client-options.js';
import { type HeadraceEvent, sendEvents } from './events.js';
import {
  type Extracted,
  type ExtractedFeatures,
  extractedFeatures,
  type FeaturesOptions,
} from './extracted-features.js';
import type { Features } from './feature-types.js';
import { asObject, listOf, objectOf } from './json-answer.js';
import { type CallOptions, Transport } from './transport.js';
import { ViewClient, type ViewDefinition, type ViewInfo } from './view-client.js';

type OnChanged = (key: string | undefined) => void;

/** A cache, and who wants to know what this client changes in it. */
interface KnownCache {
  readonly cache: CacheClient;
  readonly listeners: Set<OnChanged>;
}

export class HeadraceClient {
  readonly #transport: Transport;
  readonly #caches = new Map<string, KnownCache>();
  readonly #background = new Set<Promise<void>>();

  /** @throws ClientError `bad-request` when an option is wrong. */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(readClientOptions(options));
  }

  /** A view: typed, when its definition is given. Nothing is asked of the server. */
  view<const F extends Features = Features>(name: string, definition?: ViewDefinition<F>): ViewClient<F> {
    return new ViewClient<F>(this.#transport, name, definition);
  }

  async views(options: CallOptions = {}): Promise<ViewInfo[]> {
    const answer = await this.#transport.send({
      ...options,
      method: 'GET',
      path: '/v1/views',
      repeat: 'read',
    });
    return listOf(objectOf(answer), 'views').map(view => asObject(view, 'a view') as unknown as ViewInfo);
  }

  /** A named cache. Nothing is asked of the server. */
  cache(name: string): CacheClient {
    return this.#knownCache(name).cache;
  }

  async caches(options: CallOptions = {}): Promise<CacheInfo[]> {
    const answer = await this.#transport.send({
      ...options,
      method: 'GET',
      path: '/v1/caches',
      repeat: 'read',
    });
    return listOf(objectOf(answer), 'caches').map(cache => asObject(cache, 'a cache') as CacheInfo);
  }

  /**
   * Has invalidated what the server's configuration says of the events; when one is wrong, of none. Resolves to what
   * each rule did. What is being made here for cached functions is not stored: any cache may be meant.
   */
  event(
    events: HeadraceEvent | readonly HeadraceEvent[],
    options: CallOptions = {},
  ): Promise<EventOutcome[]> {
    const send = (left: CallOptions) => sendEvents(this.#transport, events, left);
    const known = [...this.#caches.values()];
    return known.reduce(
      (remove, { cache }) =>
        left =>
          cache.removing(left, remove),
      send,
    )(options);
  }

  /** The function with read-through caching before it; see `cached.ts`. */
  cached<Args extends readonly unknown[], T>(
    fn: (...args: Args) => T | Promise<T>,
    options: CachedOptions<Args, T>,
  ): Cached<Args, T> {
    const { cache, listeners } = this.#knownCache(options.cache);
    const host = {
      cache,
      background: (work: Promise<void>) => this.#inBackground(work),
      onChanged: (listener: OnChanged) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    return cachedFunction(host, fn, options);
  }

  /** A feature extractor with a view before it; see `extracted-features.ts`. */
  features<F extends Features, K extends keyof F & string = keyof F & string>(
    extract: (ids: readonly string[]) => Promise<Extracted<F>> | Extracted<F>,
    options: FeaturesOptions<F, K>,
  ): ExtractedFeatures<F, K> {
    return extractedFeatures(work => this.#inBackground(work), extract, options);
  }

  /**
   * Resolves when what goes on in the background now is done, and all connections are closed; calls that are made from
   * then on fail with `closed`, and cached functions go on without the server.
   */
  async close(): Promise<void> {
    await Promise.all(this.#background);
    await this.#transport.close();
  }

  #inBackground(work: Promise<void>): void {
    const settled = work.catch(() => undefined).then(() => void this.#background.delete(settled));
    this.#background.add(settled);
  }

  #knownCache(name: string): KnownCache {
    const known = this.#caches.get(name);
    if (known !== undefined) return known;
    const listeners = new Set<OnChanged>();
    const cache = new CacheClient(this.#transport, name, key => {
      for (const tell of listeners) tell(key);
    });
    const made = { cache, listeners };
    this.#caches.set(name, made);
    return made;
  }
}
