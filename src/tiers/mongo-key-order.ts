/** Work on keys, in order: what is given for a key starts when everything given for it before has ended. */
export class KeyOrder {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Keys with work that has not ended. */
  get size(): number {
    return this.#last.size;
  }

  async run<T>(keys: ReadonlySet<string>, work: () => Promise<T>): Promise<T> {
    const before = new Set<Promise<unknown>>();
    for (const key of keys) {
      const last = this.#last.get(key);
      if (last !== undefined) before.add(last);
    }
    const result = before.size === 0 ? work() : Promise.all(before).then(work);
    const ended = result.catch(() => undefined);
    for (const key of keys) this.#last.set(key, ended);
    try {
      return await result;
    } finally {
      for (const key of keys) if (this.#last.get(key) === ended) this.#last.delete(key);
    }
  }
}
