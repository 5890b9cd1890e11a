/** Counters in memory that threads share: so many sets of the same fields, each in its place. */
export function counterMemory(sets: number, fields: readonly string[]): SharedArrayBuffer {
  return new SharedArrayBuffer(sets * fields.length * BigInt64Array.BYTES_PER_ELEMENT);
}

export class SharedCounters<Field extends string> {
  readonly #fields: readonly Field[];
  readonly #counts: BigInt64Array;

  /** @param set the place in the memory. */
  constructor(fields: readonly Field[], memory: SharedArrayBuffer, set: number) {
    this.#fields = fields;
    const offset = set * fields.length * BigInt64Array.BYTES_PER_ELEMENT;
    this.#counts = new BigInt64Array(memory, offset, fields.length);
  }

  add(field: Field, count = 1): void {
    if (count !== 0) Atomics.add(this.#counts, this.#fields.indexOf(field), BigInt(count));
  }

  /** Of what is not counted but stands somewhere. */
  set(field: Field, value: number): void {
    Atomics.store(this.#counts, this.#fields.indexOf(field), BigInt(value));
  }

  read(): Readonly<Record<Field, number>> {
    const entries = this.#fields.map(
      (field, place) => [field, Number(Atomics.load(this.#counts, place))] as const,
    );
    return Object.fromEntries(entries) as Record<Field, number>;
  }
}
