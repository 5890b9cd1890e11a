/**
 * What it takes to score a query against 1,000 packed vectors of 384 that a lane has in hand:
 * `node dist/native-free-bench/scoring.js [--tiny]`.
 *
 * For each packing and metric, in turn within each round: `EmbeddingScorer` over payloads of their own and over payloads
 * in shared memory, and the same sums over typed arrays. Payloads lie at any alignment. Times are of whole calls, from
 * payloads to the best ten; CPU is the process's.
 */
import { float16Value } from '../src/caches/embeddings/float16.js';
import { PACKINGS, type Packing, pack, packedBytes } from '../src/caches/embeddings/packing.js';
import { EmbeddingScorer, type ScoreRequest } from '../src/caches/embeddings/scorer.js';
import { type Match, METRICS, TopK } from '../src/caches/embeddings/top-k.js';
import { SCALE_BYTES } from '../src/caches/embeddings/wasm/places.js';

const SIZES = process.argv.includes('--tiny')
  ? { candidates: 100, dimensions: 48, rounds: 3, calls: 3 }
  : { candidates: 1_000, dimensions: 384, rounds: 15, calls: 40 };
const K = 10;

/** Even from -1 to 1 (Lehmer's generator, seeded). */
function randomVector(): Float32Array {
  return Float32Array.from({ length: SIZES.dimensions }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2 ** 30 - 1;
  });
}
let state = 20_260_104;

/** The way not taken: elements as numbers of JavaScript, from a block that is aligned. */
class TypedArrayScorer {
  readonly #bytes = new Uint8Array(SCALE_BYTES + 4 * SIZES.dimensions);
  readonly #floats = new Float32Array(this.#bytes.buffer, SCALE_BYTES, SIZES.dimensions);
  readonly #halves = new Uint16Array(this.#bytes.buffer, SCALE_BYTES, SIZES.dimensions);
  readonly #codes = new Int8Array(this.#bytes.buffer, SCALE_BYTES, SIZES.dimensions);
  readonly #scale = new Float32Array(this.#bytes.buffer, 0, 1);
  readonly #halfValues = Float32Array.from({ length: 2 ** 16 }, (_, half) => float16Value(half));
  readonly #query = new Float32Array(SIZES.dimensions);
  readonly #top = new TopK();

  best({ format, metric, query, k }: ScoreRequest, payloads: readonly Uint8Array[]): Match[] {
    this.#query.set(query);
    const top = this.#top;
    top.begin(metric, k);
    for (let place = 0; place < payloads.length; place++) {
      this.#take(format.packing, payloads[place] ?? new Uint8Array());
      top.offer(this.#score(metric), place);
    }
    return top.take();
  }

  /** Leaves the elements in `#floats`. */
  #take(packing: Packing, payload: Uint8Array): void {
    this.#bytes.set(payload, packing === 'int8' ? 0 : SCALE_BYTES);
    const floats = this.#floats;
    if (packing === 'int8') {
      const scale = this.#scale[0] ?? 0;
      for (let n = floats.length - 1; n >= 0; n--) floats[n] = scale * (this.#codes[n] ?? 0);
    } else if (packing === 'float16') {
      for (let n = floats.length - 1; n >= 0; n--) floats[n] = this.#halfValues[this.#halves[n] ?? 0] ?? 0;
    }
  }

  #score(metric: ScoreRequest['metric']): number {
    if (metric === 'l2') return this.#distance();
    const product = sumOfProducts(this.#query, this.#floats);
    if (metric === 'dot') return product;
    return product / Math.sqrt(sumOfProducts(this.#floats, this.#floats));
  }

  #distance(): number {
    const query = this.#query;
    const floats = this.#floats;
    let a = 0;
    let b = 0;
    for (let n = 0; n < floats.length; n += 2) {
      const first = (query[n] ?? 0) - (floats[n] ?? 0);
      const second = (query[n + 1] ?? 0) - (floats[n + 1] ?? 0);
      a += first * first;
      b += second * second;
    }
    return Math.sqrt(a + b);
  }
}

function sumOfProducts(left: Float32Array, right: Float32Array): number {
  let a = 0;
  let b = 0;
  for (let n = 0; n < right.length; n += 2) {
    a += (left[n] ?? 0) * (right[n] ?? 0);
    b += (left[n + 1] ?? 0) * (right[n + 1] ?? 0);
  }
  return a + b;
}

interface Times {
  readonly callsMs: number[];
  cpuMs: number;
}

function timed(times: Times, call: () => Match[]): void {
  const before = process.cpuUsage();
  for (let n = 0; n < SIZES.calls; n++) {
    const began = performance.now();
    call();
    times.callsMs.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(before);
  times.cpuMs += (user + system) / 1000;
}

function line(name: string, { callsMs, cpuMs }: Times, rivalCpuMs: number): string {
  const sorted = callsMs.toSorted((a, b) => a - b);
  const p = (part: number) => (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(3);
  const cpu = cpuMs / callsMs.length;
  return `${name.padEnd(34)} p50 ${p(0.5)} ms   p95 ${p(0.95)} ms   CPU ${cpu.toFixed(3)} ms   ${(cpuMs / rivalCpuMs).toFixed(2)} × typed arrays\n`;
}

/** Every payload begins at another alignment than the one before. */
function laidOut(payloads: readonly Uint8Array[], memory: ArrayBufferLike, stride: number): Uint8Array[] {
  return payloads.map((payload, n) => {
    const view = new Uint8Array(memory, n * stride + (n % 16), payload.length);
    view.set(payload);
    return view;
  });
}

function bestInWasm(request: ScoreRequest, payloads: readonly Uint8Array[]): Match[] {
  wasm.begin(request);
  for (let place = 0; place < payloads.length; place++)
    wasm.offer(payloads[place] ?? new Uint8Array(), place);
  return wasm.take();
}

const wasm = new EmbeddingScorer();
const typedArrays = new TypedArrayScorer();
const vectors = Array.from({ length: SIZES.candidates }, randomVector);
const query = randomVector();

for (const packing of PACKINGS) {
  const format = { packing, dimensions: SIZES.dimensions };
  const stride = packedBytes(format) + 16;
  const packed = vectors.map(vector => pack(format, vector));
  const own = laidOut(packed, new ArrayBuffer(stride * packed.length), stride);
  const shared = laidOut(packed, new SharedArrayBuffer(stride * packed.length), stride);
  for (const metric of METRICS) {
    const request = { format, metric, query, k: K };
    const ways = [
      { name: 'wasm', call: () => bestInWasm(request, own) },
      { name: 'wasm, shared', call: () => bestInWasm(request, shared) },
      { name: 'typed arrays', call: () => typedArrays.best(request, own) },
    ].map(way => ({ ...way, times: { callsMs: [], cpuMs: 0 } as Times }));
    for (const { call } of ways) timed({ callsMs: [], cpuMs: 0 }, call);
    for (let round = 0; round < SIZES.rounds; round++) for (const { call, times } of ways) timed(times, call);
    const rival = ways.at(-1)?.times.cpuMs ?? 0;
    for (const { name, times } of ways)
      process.stdout.write(line(`${packing} ${metric}, ${name}`, times, rival));
  }
}
