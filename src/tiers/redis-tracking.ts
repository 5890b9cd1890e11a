/**
 * Coherence: tells which keys have changed in Redis, on whichever master. One for a process is enough.
 *
 * The guarantee: between `onRestored` and `onLost`, each change of a key under the prefix is reported. Outside of that
 * nothing is known. So who caches empties the cache at `onLost`, and again at `onRestored`, for what was read in
 * between may have changed unnoticed; and keeps nothing that was read before either of them, or before the news of its
 * key, and arrives after it.
 *
 * A connection that was closed is noticed at once. One that is dead without having been closed, and a master that came
 * or went: within `heartbeatMs + heartbeatTimeoutMs`, and in a cluster what its nodes need to tell each other and one
 * refresh of the client's map of slots.
 *
 * Own writes are reported like any other. Redis has NOLOOP for that, but what a script writes is not put down to its
 * caller in broadcast mode (seen with 7.0.15, and newer sources read the same), and all writes of records are made by a
 * script. So whoever holds a key that is reported does best to read it again, many keys in one call, and to keep what it
 * has if it is as new. In return tracking needs no part of the connections that carry reads and writes: these may break
 * without a loss here.
 *
 * Expired and evicted keys are reported as well. An ACL user needs the channel: `&__redis__:invalidate`.
 */
import type { RedisConnection } from './redis-connection.js';
import { RedisKeys } from './redis-keys.js';
import { RedisTopology } from './redis-topology.js';
import { TrackedMaster } from './redis-tracked-master.js';

export interface RedisTrackingListener {
  /** Storage keys of records that were written, deleted, expired or evicted. */
  onKeys(storageKeys: readonly Uint8Array[]): void;
  /** The catalog of views has changed. */
  onCatalog(): void;
  /** A server was flushed: any key may have gone. */
  onEverything(): void;
  /** From now on changes go unnoticed. */
  onLost(reason: string): void;
  /** From now on all changes are reported. */
  onRestored(): void;
}

export interface RedisTrackingOptions {
  readonly heartbeatMs: number;
  readonly heartbeatTimeoutMs: number;
}

/** When the client's picture of the servers may have changed. */
const EVENTS = ['ready', 'refresh', '+node', '-node'];

export class RedisTracking {
  readonly #connection: RedisConnection;
  readonly #listener: RedisTrackingListener;
  readonly #options: RedisTrackingOptions;
  readonly #keys: RedisKeys;
  readonly #topology: RedisTopology;
  /** By `host:port`. */
  readonly #masters = new Map<string, TrackedMaster>();
  #heartbeat: NodeJS.Timeout | undefined;
  #isWhole = false;
  #isClosed = false;

  /** Begins at once; `onRestored` is called when every master is tracked. The connection only shows where they are. */
  constructor(connection: RedisConnection, listener: RedisTrackingListener, options: RedisTrackingOptions) {
    this.#connection = connection;
    this.#listener = listener;
    this.#options = options;
    this.#keys = new RedisKeys(connection.target.parameters.prefix);
    this.#topology = new RedisTopology(connection);
    for (const event of EVENTS) connection.client.on(event, this.#sync);
    this.#sync();
    this.#scheduleHeartbeat();
  }

  /** True between `onRestored` and `onLost`. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Stops; the listener is not called any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#heartbeat);
    for (const event of EVENTS) this.#connection.client.off(event, this.#sync);
    for (const master of this.#masters.values()) master.close();
    this.#masters.clear();
  }

  /** Tracks the masters that there are now, and no others. */
  readonly #sync = (): void => {
    if (this.#isClosed) return;
    const wanted = this.#topology.masters();
    for (const [name, master] of this.#masters) {
      if (wanted.has(name)) continue;
      master.close();
      this.#masters.delete(name);
    }
    for (const [name, { host, port }] of wanted) {
      if (this.#masters.has(name)) continue;
      const master = new TrackedMaster({
        prefix: this.#keys.prefix,
        connect: () => this.#connection.sibling(host, port),
        onChanged: keys => this.#onChanged(keys),
        onTrouble: reason => this.#connection.report(new Error(`tracking ${name}: ${reason}`)),
        onState: lost => this.#settle(lost === undefined ? undefined : `${name}: ${lost}`),
      });
      this.#masters.set(name, master);
    }
    this.#settle(`the masters are now ${[...wanted.keys()].join(', ')}`);
  };

  #settle(reason = 'a master is not tracked yet'): void {
    const masters = [...this.#masters.values()];
    const isWhole = masters.length > 0 && masters.every(({ isTracked }) => isTracked);
    if (isWhole === this.#isWhole || this.#isClosed) return;
    this.#isWhole = isWhole;
    if (isWhole) this.#listener.onRestored();
    else this.#listener.onLost(reason);
  }

  #onChanged(keys: readonly Buffer[] | null): void {
    if (this.#isClosed) return;
    if (keys === null) {
      this.#listener.onEverything();
      return;
    }
    const storageKeys: Uint8Array[] = [];
    let isCatalog = false;
    for (const key of keys) {
      const storageKey = this.#keys.storageKey(key);
      if (storageKey !== undefined) storageKeys.push(storageKey);
      else if (key.toString() === this.#keys.catalog) isCatalog = true;
    }
    if (storageKeys.length > 0) this.#listener.onKeys(storageKeys);
    if (isCatalog) this.#listener.onCatalog();
  }

  #scheduleHeartbeat(): void {
    if (this.#isClosed) return;
    this.#heartbeat = setTimeout(() => {
      this.#beat().finally(() => this.#scheduleHeartbeat());
    }, this.#options.heartbeatMs);
  }

  async #beat(): Promise<void> {
    const { heartbeatTimeoutMs } = this.#options;
    // That the servers cannot be asked is what the beats of their own connections find out too, and act on.
    const refreshed = this.#topology.refresh().catch(() => undefined);
    await Promise.all([
      refreshed,
      ...Array.from(this.#masters.values(), master => master.beat(heartbeatTimeoutMs)),
    ]);
    this.#sync();
  }
}
