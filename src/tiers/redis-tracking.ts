/**
 * Coherence: tells one thread which keys others have changed in Redis, from every master that there is.
 *
 * The guarantee: between `onRestored` and `onLost`, each change that another connection makes to a key under the prefix
 * is reported. Outside of that nothing is known. So who caches empties the cache at `onLost`, and again at
 * `onRestored`, for what was read in between may have changed unnoticed; a read that began before either must not be
 * cached after it.
 *
 * A connection that was closed is noticed at once. One that is dead without having been closed, a master that gave its
 * slots away, a new master: within `heartbeatMs + heartbeatTimeoutMs`, and in a cluster what its nodes need to tell
 * each other, and one refresh of the client's map of slots.
 *
 * A master without slots is tracked as well, through a connection of its own: while slots move to it, its keys are
 * written there before any map of the cluster shows it.
 *
 * Own writes are no news (`redis-tracked-master.ts`), but those of other threads of this process are. Redis reports
 * expired and evicted keys too. NOLOOP holds for scripts from Redis 7.0.5 on; before, own writes come back.
 */
import { Cluster, type Redis } from 'ioredis';
import type { RedisConnection } from './redis-connection.js';
import { RedisKeys } from './redis-keys.js';
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

/** What CLUSTER NODES says of a master. */
interface ClusterMaster {
  readonly host: string;
  readonly port: number;
  /** `host:port`, by address and by name. */
  readonly names: readonly string[];
  readonly hasSlots: boolean;
}

export class RedisTracking {
  readonly #connection: RedisConnection;
  readonly #listener: RedisTrackingListener;
  readonly #options: RedisTrackingOptions;
  readonly #keys: RedisKeys;
  readonly #masters = new Map<Redis, TrackedMaster>();
  /** Own connections to masters without slots, by `host:port`. */
  readonly #slotless = new Map<string, Redis>();
  #heartbeat: NodeJS.Timeout | undefined;
  #isWhole = false;
  #isClosed = false;

  /** Begins at once; `onRestored` is called when every master is tracked. */
  constructor(connection: RedisConnection, listener: RedisTrackingListener, options: RedisTrackingOptions) {
    this.#connection = connection;
    this.#listener = listener;
    this.#options = options;
    this.#keys = new RedisKeys(connection.target.parameters.prefix);
    for (const event of ['ready', 'refresh', '+node', '-node']) connection.client.on(event, this.#sync);
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
    const { client } = this.#connection;
    for (const event of ['ready', 'refresh', '+node', '-node']) client.off(event, this.#sync);
    for (const master of this.#masters.values()) master.close();
    for (const client of this.#slotless.values()) client.disconnect();
    this.#masters.clear();
    this.#slotless.clear();
  }

  /** Tracks the masters that there are now, and no others. */
  readonly #sync = (): void => {
    if (this.#isClosed) return;
    const wanted = new Set([...this.#connection.mastersWithSlots(), ...this.#slotless.values()]);
    for (const [data, master] of this.#masters) {
      if (wanted.has(data)) continue;
      master.close();
      this.#masters.delete(data);
    }
    for (const data of wanted) {
      if (this.#masters.has(data)) continue;
      const parts = {
        data,
        prefix: this.#keys.prefix,
        sibling: (host: string, port: number) => this.#connection.sibling(host, port),
        onChanged: (keys: readonly Buffer[] | null) => this.#onChanged(keys),
        onState: (lost?: string) => this.#settle(lost),
      };
      this.#masters.set(data, new TrackedMaster(parts));
    }
    this.#settle('the masters are others');
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
    await Promise.all([
      ...Array.from(this.#masters.values(), master => master.beat(heartbeatTimeoutMs)),
      this.#lookAtCluster(),
    ]);
  }

  /** Compares what the cluster says of itself with what the client believes. */
  async #lookAtCluster(): Promise<void> {
    const { client } = this.#connection;
    if (!(client instanceof Cluster)) return;
    const asked = Array.from(this.#masters.values()).find(({ isTracked }) => isTracked);
    if (asked === undefined) return;
    let masters: ClusterMaster[];
    try {
      masters = mastersIn(String(await asked.data.call('CLUSTER', 'NODES')));
    } catch {
      // The heartbeat of that connection says the same, and acts on it.
      return;
    }
    if (this.#isClosed) return;
    const known = new Set(
      this.#connection.mastersWithSlots().map(({ options }) => `${options.host}:${options.port}`),
    );
    const isKnown = ({ names }: ClusterMaster) => names.some(name => known.has(name));
    if (masters.some(master => master.hasSlots && !isKnown(master))) client.refreshSlotsCache();
    this.#keepSlotless(masters.filter(master => !isKnown(master)));
    this.#sync();
  }

  #keepSlotless(masters: readonly ClusterMaster[]): void {
    const wanted = new Map(masters.map(master => [`${master.host}:${master.port}`, master]));
    for (const [name, client] of this.#slotless) {
      if (wanted.has(name) && client.status !== 'end') continue;
      this.#slotless.delete(name);
      client.disconnect();
    }
    for (const [name, { host, port }] of wanted) {
      if (this.#slotless.has(name)) continue;
      const client = this.#connection.sibling(host, port);
      client.on('error', () => undefined);
      this.#slotless.set(name, client);
    }
  }
}

/** A line: id, `ip:port@busport,hostname`, flags, master, ping, pong, epoch, link, slots. Failed nodes are left out. */
function mastersIn(nodes: string): ClusterMaster[] {
  return nodes.split('\n').flatMap(line => {
    const [, place = '', flagText = '', , , , , , ...slots] = line.trim().split(' ');
    const flags = flagText.split(',');
    const [, host = '', port, name = ''] = /^(.*):(\d+)(?:@\d+)?(?:,([^,]*))?/.exec(place) ?? [];
    const isUsable = flags.includes('master') && !flags.some(flag => UNUSABLE.has(flag));
    if (!isUsable || host === '' || port === undefined) return [];
    const names = [`${host}:${port}`, `${name}:${port}`];
    return [{ host, port: Number(port), names, hasSlots: slots.some(slot => !slot.startsWith('[')) }];
  });
}

const UNUSABLE = new Set(['fail', 'handshake', 'noaddr']);
