/**
 * Erases the records of dropped views: walks through the keys of every master, a bounded number a step. What has
 * expired, Redis removes itself.
 */
import type { Redis } from 'ioredis';
import { rawCommand } from './redis-command.js';
import type { RedisConnection } from './redis-connection.js';
import { RedisKeys } from './redis-keys.js';

/** Keys that one step looks at: Redis is held up for about 0.2 ms. */
const STEP_KEYS = 1_000;

export interface EraseStep {
  readonly removed: number;
  /** True when a whole walk found nothing: a key that moves between masters during a walk can be missed by it. */
  readonly isDone: boolean;
}

interface Walk {
  readonly viewUid: number;
  readonly masters: readonly Redis[];
  at: number;
  cursor: string;
  removed: number;
}

export class RedisCleaner {
  readonly #connection: RedisConnection;
  readonly #keys: RedisKeys;
  #walk: Walk | undefined;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#keys = new RedisKeys(connection.target.parameters.prefix);
  }

  /** Removes some records of a view that was dropped. @throws HeadraceError `unavailable`; the next step goes on. */
  eraseStep(viewUid: number): Promise<EraseStep> {
    const connection = this.#connection;
    return connection.call(async () => {
      const walk = this.#walkOf(viewUid);
      const master = walk.masters[walk.at];
      if (master === undefined) return { removed: 0, isDone: false };
      const operands = [walk.cursor, 'MATCH', `${this.#keys.ofView(viewUid)}*`, 'COUNT', STEP_KEYS];
      const scan = rawCommand('scan', operands);
      const [cursor, keys] = (await (master.sendCommand(scan) as Promise<unknown>)) as [Buffer, Buffer[]];
      await connection.exchange(send => Promise.all(keys.map(key => send(rawCommand('unlink', [key])))));
      walk.removed += keys.length;
      walk.cursor = cursor.toString();
      if (walk.cursor === '0') walk.at++;
      if (walk.at < walk.masters.length) return { removed: keys.length, isDone: false };
      this.#walk = undefined;
      return { removed: keys.length, isDone: walk.removed === 0 };
    });
  }

  /** The walk under way, unless it is of another view or the masters have changed. */
  #walkOf(viewUid: number): Walk {
    const masters = this.#connection.mastersWithSlots();
    const walk = this.#walk;
    const isCurrent =
      walk?.viewUid === viewUid &&
      walk.masters.length === masters.length &&
      walk.masters.every(master => masters.includes(master));
    if (walk !== undefined && isCurrent) return walk;
    this.#walk = { viewUid, masters, at: 0, cursor: '0', removed: 0 };
    return this.#walk;
  }
}
