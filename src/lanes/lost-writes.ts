/**
 * The writes that a lane's thread had not answered when it died. Each may have been stored or not, so that what is cached
 * of its key may be older than what is stored: the lane's next thread drops it before it does anything else.
 */
import type { WriteCall } from './call.js';
import type { LostWrites, RecordKey } from './messages.js';

export class LostWriteLog {
  readonly #underWay = new Set<readonly WriteCall[]>();
  /** By view and id. */
  readonly #lost = new Map<string, RecordKey>();
  #areUnknown = false;

  begin(calls: readonly WriteCall[]): void {
    this.#underWay.add(calls);
  }

  end(calls: readonly WriteCall[]): void {
    this.#underWay.delete(calls);
  }

  /** The thread that has them died. */
  loseAll(): void {
    for (const calls of this.#underWay) this.lose(calls);
  }

  lose(calls: readonly WriteCall[]): void {
    for (const { request } of calls) {
      const { op } = request;
      // The ids of a load stand in its lines, which were handed over to the thread.
      if (op.kind === 'ingest') this.#areUnknown = true;
      else this.#lost.set(`${op.viewUid}/${op.id}`, { viewUid: op.viewUid, id: op.id });
    }
  }

  /** Since the last `clear`. */
  get keys(): LostWrites {
    return this.#areUnknown ? 'unknown' : [...this.#lost.values()];
  }

  /** A thread has dropped what is cached of them. */
  clear(): void {
    this.#lost.clear();
    this.#areUnknown = false;
  }
}
