/**
 * Scores a query against packed vectors in the thread that has them, and keeps the best: copies one candidate after the
 * other into the memory of `wasm/score.ts`, which computes in float64, two elements an instruction.
 *
 * A score is that of the query and the unpacked vector, but for rounding: with ε = 2^-53 and N dimensions, a dot product
 * is within (N + 2) ε Σ|q_i x_i| of the exact one, a distance within (N + 6) ε of itself, and a cosine within (2 N + 8) ε.
 * What packing has lost comes on top (`packing.ts`). The cosine with a vector of zeros is 0.
 *
 * 1,000 candidates × 384, by `native-free-bench/scoring.ts`: p50 0.10 to 0.21 ms by packing and metric, 0.12 to 0.23 ms from
 * shared memory; in turn with it, over typed arrays, 0.32 to 1.03 ms. Sixteen candidates a call were no faster than one.
 */
import { readFileSync } from 'node:fs';
import { assert } from '../../base/assert.js';
import { checkVector, type Packing, packedBytes, type VectorFormat } from './packing.js';
import { type Match, type Metric, TopK } from './top-k.js';
import * as places from './wasm/places.js';

/** Of the words in which memory is copied, in bytes. */
const ALIGNMENT = 8;

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** What `wasm/score.ts` exports. */
interface ScoreCode {
  readonly memory: { readonly buffer: ArrayBuffer };
  score(packing: number, metric: number, dimensions: number, querySquares: number, at: number): number;
}

assert(
  places.CANDIDATE_AT >= places.QUERY_AT + 8 * places.DIMENSIONS_MAX,
  'the longest query ends where the candidate begins',
);
assert(
  places.MEMORY_BYTES >=
    places.CANDIDATE_AT + ALIGNMENT + places.SCALE_BYTES + 4 * (places.DIMENSIONS_MAX + places.TOGETHER),
  'the longest candidate has room, at any alignment and with zeros behind it',
);

const PACKING_NUMBERS: Readonly<Record<Packing, number>> = {
  float32: places.FLOAT32,
  float16: places.FLOAT16,
  int8: places.INT8,
};
const METRIC_NUMBERS: Readonly<Record<Metric, number>> = {
  dot: places.DOT,
  cosine: places.COSINE,
  l2: places.L2,
};

const code = readFileSync(new URL('./wasm/score.wasm', import.meta.url));

export interface ScoreRequest {
  readonly format: VectorFormat;
  readonly metric: Metric;
  readonly query: ArrayLike<number>;
  /** How many of the best are wanted, at least 1. */
  readonly k: number;
}

/** One for each thread that scores. From `begin` to `take` it belongs to one question. */
export class EmbeddingScorer {
  readonly #code: ScoreCode;
  readonly #query: Float64Array;
  readonly #memory: Uint8Array;
  readonly #top = new TopK();
  #packing = 0;
  #metric = 0;
  #dimensions = 0;
  #squares = 0;
  #bytes = 0;

  constructor() {
    this.#code = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as ScoreCode;
    const { buffer } = this.#code.memory;
    assert(buffer.byteLength === places.MEMORY_BYTES, 'both know the size of the memory');
    this.#query = new Float64Array(buffer, places.QUERY_AT, places.DIMENSIONS_MAX);
    this.#memory = new Uint8Array(buffer);
  }

  /** @throws HeadraceError `invalid-vector` when the query is no vector of so many dimensions. */
  begin({ format, metric, query, k }: ScoreRequest): void {
    const { dimensions, packing } = format;
    assert(dimensions >= 1 && dimensions <= places.DIMENSIONS_MAX, 'a vector has room in the memory');
    checkVector(dimensions, query);
    this.#squares = this.#takeQuery(query);
    this.#packing = PACKING_NUMBERS[packing];
    this.#metric = METRIC_NUMBERS[metric];
    this.#dimensions = dimensions;
    this.#bytes = packedBytes(format);
    this.#top.begin(metric, k);
  }

  /**
   * Scores a candidate: its packed vector, at any alignment. False when it has no score, as it is of another length or
   * has an element that is not finite.
   */
  offer(packed: Uint8Array, place: number): boolean {
    if (packed.length !== this.#bytes) return false;
    // Copies from shared memory go by words only where both sides are equally aligned: 1,000 × 384 float32s
    // at any alignment take 0.15 ms so, and took 0.44 ms without.
    const at = places.CANDIDATE_AT + (packed.byteOffset % ALIGNMENT);
    this.#memory.set(packed, at);
    const score = this.#code.score(this.#packing, this.#metric, this.#dimensions, this.#squares, at);
    if (!Number.isFinite(score)) return false;
    this.#top.offer(score, place);
    return true;
  }

  /** The best of all that were offered, at most `k`, best first. */
  take(): Match[] {
    return this.#top.take();
  }

  /** Returns the sum of its squares. */
  #takeQuery(query: ArrayLike<number>): number {
    let squares = 0;
    const padded = Math.ceil(query.length / places.TOGETHER) * places.TOGETHER;
    for (let n = 0; n < padded; n++) {
      const element = Math.fround(query[n] ?? 0);
      this.#query[n] = element;
      squares += element * element;
    }
    return squares;
  }
}
