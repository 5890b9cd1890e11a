/** What happens to Redis and to the connections to it while clients work, at random, until it is told to stop. */
import { setTimeout as after } from 'node:timers/promises';
import type { Seeded } from '../base/seeded.js';
import type { ServerProcess } from '../server/server-process.js';
import type { RedisServer } from '../support/redis-server.js';
import type { SlowProxy } from './slow-proxy.js';

const PAUSE_MS_MAX = 400;
/** Longer than anything may be kept that nobody tells of. */
const UNTOLD_MS = 2_500;

export interface HurtsParts {
  readonly redis: RedisServer;
  readonly proxies: readonly SlowProxy[];
  /** Servers whose lanes may die. */
  readonly mortal: readonly ServerProcess[];
  readonly random: Seeded;
}

export class Hurts {
  readonly #redis: RedisServer;
  readonly #proxies: readonly SlowProxy[];
  readonly #mortal: readonly ServerProcess[];
  readonly #random: Seeded;
  #running: Promise<void> | undefined;
  #stopping = new AbortController();

  constructor({ redis, proxies, mortal, random }: HurtsParts) {
    this.#redis = redis;
    this.#proxies = proxies;
    this.#mortal = mortal;
    this.#random = random;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** All is well again when this resolves. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#forbidTracking(false);
    for (const proxy of this.#proxies) proxy.calm();
  }

  async #run(): Promise<void> {
    const hurts = [
      () => this.#cutSubscribers(),
      () => this.#cutTracker(),
      () => this.#redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
      () => this.#redis.admin.call('CLIENT', 'PAUSE', this.#random.below(100), 'ALL'),
      () => this.#redis.admin.call('DEBUG', 'SLEEP', '0.05'),
      async () => this.#random.pick(this.#proxies).deaden(),
      () => this.#leaveUntold(),
      async () => this.#killLane(),
    ];
    while (!this.#stopping.signal.aborted) {
      for (const proxy of this.#proxies) proxy.shuffle();
      await this.#pause(this.#random.below(PAUSE_MS_MAX));
      if (this.#stopping.signal.aborted) return;
      await this.#random.pick(hurts)();
    }
  }

  #cutSubscribers(): Promise<unknown> {
    return this.#redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  }

  /** One connection that tracks; who is told by it loses nothing but the news. */
  async #cutTracker(): Promise<void> {
    const list = String(await this.#redis.admin.call('CLIENT', 'LIST'));
    const trackers = list.split('\n').filter(line => /\bflags=\w*t/.test(line));
    if (trackers.length === 0) return;
    const id = /\bid=(\d+)/.exec(this.#random.pick(trackers))?.[1] ?? '0';
    await this.#redis.admin.call('CLIENT', 'KILL', 'ID', id);
  }

  /** Reads and writes go on, and for a while nobody is told of anything. */
  async #leaveUntold(): Promise<void> {
    await this.#forbidTracking(true);
    if (this.#random.below(2) === 0) this.#killLane();
    else await this.#cutSubscribers();
    await this.#pause(UNTOLD_MS);
    await this.#forbidTracking(false);
  }

  /** Obeyed by `lane-killer.ts`. */
  #killLane(): void {
    if (this.#mortal.length > 0) this.#random.pick(this.#mortal).signal('SIGUSR2');
  }

  #forbidTracking(isForbidden: boolean): Promise<unknown> {
    return this.#redis.admin.call('ACL', 'SETUSER', 'default', `${isForbidden ? '-' : '+'}client|tracking`);
  }

  async #pause(ms: number): Promise<void> {
    await after(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}
