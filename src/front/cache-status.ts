/** `Cache-Status` (RFC 9211): where an answer came from, and for how long it stays fresh. */

export class CacheStatus {
  readonly miss = 'headrace; fwd=miss; detail=L3';
  readonly failed = 'headrace; fwd=miss; detail=unavailable';
  #seconds = -1;
  #hit = '';

  /** From shared memory. The text is kept: neighbouring hits often have the same second. */
  hit(expiresAtMs: number, nowMs: number): string {
    const seconds = Math.floor((expiresAtMs - nowMs) / 1000);
    if (seconds !== this.#seconds) {
      this.#seconds = seconds;
      this.#hit = `headrace; hit; ttl=${seconds}; detail=L1`;
    }
    return this.#hit;
  }
}
