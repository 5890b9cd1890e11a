/** Collects what is wrong with a request, so that one answer names all of it, up to a limit. */
import { HeadraceError, type ProblemCode, type ProblemDetail } from './errors.js';

export const PROBLEMS_MAX = 100;

/** A text from a request, for an error: not longer than 128 characters. */
export function shown(text: string): string {
  return text.length <= 128 ? text : `${text.slice(0, 128)}…`;
}

export class ProblemList {
  #problems: ProblemDetail[] = [];
  #more = 0;

  add(at: string, detail: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ at, detail });
    else this.#more++;
  }

  get isEmpty(): boolean {
    return this.#problems.length === 0;
  }

  /** Of all that was added, also beyond the limit. */
  get count(): number {
    return this.#problems.length + this.#more;
  }

  clear(): void {
    if (this.#problems.length > 0) this.#problems = [];
    this.#more = 0;
  }

  /** @throws HeadraceError with what was added, if anything was; the message repeats the first of it. */
  throwIfAny(code: ProblemCode): void {
    const [first] = this.#problems;
    if (first === undefined) return;
    const others = this.#problems.length + this.#more - 1;
    const message = `${first.at} ${first.detail}${others === 0 ? '' : `, and ${others} more`}`;
    throw new HeadraceError(code, message, this.#problems);
  }
}
