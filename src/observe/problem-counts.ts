/** How often each problem was answered, by its code: what was refused, and why. */
import type { Problem } from '../base/errors.js';

const PREFIX = 'urn:headrace:problem:';

export class ProblemCounts {
  readonly #counts = new Map<string, number>();

  count({ type }: Problem): void {
    const code = type.slice(PREFIX.length);
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }

  /** Since the start, by code; those that never were are left out. */
  figures(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort());
  }
}
