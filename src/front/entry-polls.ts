/**
 * Looks again at what somebody waits for, which another server may have made: soon at first, then less often; one look
 * at a key however many wait for it, and none any more when nobody does. The more keys, the more seldom each is looked at:
 * where nobody tells of changes a look may be a question to the store.
 */
import { setTimeout as rest } from 'node:timers/promises';

const PAUSE_MS_FIRST = 20;
const PAUSE_MS_MAX = 200;
/** For each key that is watched: a thousand looks a second, however many there are. */
const PAUSE_MS_A_KEY = 1;

export interface Poll {
  isAwaited(): boolean;
  /** Tells those who wait, if it has changed. May fail: it is done again. */
  look(): Promise<void>;
}

export class EntryPolls {
  readonly #watched = new Set<string>();
  readonly #rest: (ms: number) => Promise<unknown>;

  constructor(pause: (ms: number) => Promise<unknown> = rest) {
    this.#rest = pause;
  }

  /** @param name of the key, in all caches. */
  watch(name: string, poll: Poll): void {
    if (this.#watched.has(name)) return;
    this.#watched.add(name);
    void this.#run(poll).then(() => this.#watched.delete(name));
  }

  async #run(poll: Poll): Promise<void> {
    for (let pauseMs = PAUSE_MS_FIRST; ; pauseMs = Math.min(PAUSE_MS_MAX, 2 * pauseMs)) {
      await this.#rest(Math.max(pauseMs, this.#watched.size * PAUSE_MS_A_KEY));
      if (!poll.isAwaited()) return;
      await poll.look().catch(() => undefined);
    }
  }
}
