/** A listener of `RedisTracking` that writes down what it hears. */
import type { RedisConnection } from '../../src/tiers/redis-connection.js';
import { RedisTracking, type RedisTrackingListener } from '../../src/tiers/redis-tracking.js';
import { eventually } from '../support/redis-server.js';

export class News implements RedisTrackingListener {
  /** Ids of records, in the order they came. */
  ids: string[] = [];
  /** `lost`, `restored`, `everything`, `catalog`. */
  events: string[] = [];
  readonly tracking: RedisTracking;

  constructor(connection: RedisConnection, options = { heartbeatMs: 200, heartbeatTimeoutMs: 300 }) {
    this.tracking = new RedisTracking(connection, this, options);
  }

  onKeys(storageKeys: readonly Uint8Array[]): void {
    this.ids.push(...storageKeys.map(key => Buffer.from(key).toString('utf8', 4)));
  }

  onCatalog(): void {
    this.events.push('catalog');
  }

  onEverything(): void {
    this.events.push('everything');
  }

  onLost(): void {
    this.events.push('lost');
  }

  onRestored(): void {
    this.events.push('restored');
  }

  whole(): Promise<void> {
    return eventually(() => this.tracking.isWhole, 'all masters are tracked');
  }

  /** Waits for each of the events, in this order, with others between or not. */
  heard(...events: string[]): Promise<void> {
    return eventually(
      () => {
        let at = 0;
        for (const event of this.events) if (event === events[at]) at++;
        return at === events.length;
      },
      `${events.join(', ')}`,
    );
  }
}
