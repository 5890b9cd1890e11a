/**
 * Which stale entries were sent to be made anew a moment ago: however often one is asked for, the lanes hear of it ten
 * times a second at most. Bounded: when there are too many, all are forgotten, and the lanes, which make each anew once,
 * hear more often.
 */
const AGAIN_MS = 100;
const ENTRIES_MAX = 4_096;

export class Refreshes {
  readonly #names = new Set<string>();
  #sinceMs = 0;

  /** Whether the entry is to be sent now. */
  begin(viewUid: number, id: string, nowMs: number): boolean {
    const passedMs = nowMs - this.#sinceMs;
    // A clock that was set back does not keep them for ever.
    if (passedMs >= AGAIN_MS || passedMs < 0 || this.#names.size >= ENTRIES_MAX) {
      this.#names.clear();
      this.#sinceMs = nowMs;
    }
    const name = `${viewUid}/${id}`;
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    return true;
  }
}
