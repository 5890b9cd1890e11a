/**
 * The records that benchmarks load: documents `doc-0`, `doc-1`, … with float32 features `f0`, `f1`, …, made from the
 * seed. A pool of feature texts is made once and repeated, so that making a body costs next to nothing and its length
 * is known before it is made.
 */
import { Random } from './random.js';

/** By the number of float32 features. Named so that nobody else's view is met. */
export const BENCH_VIEWS = { 20: 'headraceBench20', 50: 'headraceBench50' } as const;

const POOL_SIZE = 256;

export class RecordMaker {
  readonly view: string;
  readonly featureNames: readonly string[];
  /** JSON objects of all features; document n has the one at n modulo the pool's size. */
  readonly featureTexts: readonly string[];

  constructor(features: keyof typeof BENCH_VIEWS, seed: number) {
    this.view = BENCH_VIEWS[features];
    const random = new Random(seed, `records of ${this.view}`);
    this.featureNames = Array.from({ length: features }, (_, i) => `f${i}`);
    this.featureTexts = Array.from({ length: POOL_SIZE }, () => {
      const members = this.featureNames.map(name => `"${name}":${sixDigits(random)}`);
      return `{${members.join(',')}}`;
    });
  }

  /** Body of `PUT /v1/views/{view}`. */
  viewDefinition(): string {
    const features = Object.fromEntries(this.featureNames.map(name => [name, 'float32']));
    return JSON.stringify({ entity: 'doc', ttl: '24h', features });
  }

  featuresOf(document: number): string {
    return this.featureTexts[document % POOL_SIZE] ?? '{}';
  }

  /** Body of a record's PUT. The pool is walked by `generation`, so that a later write has other features. */
  recordBody(document: number, generation: number): string {
    return `{"features":${this.featuresOf(document + generation)}}`;
  }

  ndjsonLine(document: number): string {
    return `{"id":"doc-${document}","features":${this.featuresOf(document)}}\n`;
  }

  /** Bytes of the lines of documents `from` to `to` - 1, without making them. Everything in a line is ASCII. */
  ndjsonBytes(from: number, to: number): number {
    const around = this.ndjsonLine(0).length - this.featuresOf(0).length - 1;
    let bytes = 0;
    for (let document = from; document < to; document++) {
      bytes += around + decimalDigits(document) + (this.featureTexts[document % POOL_SIZE]?.length ?? 0);
    }
    return bytes;
  }

  path(document: number): string {
    return `/v1/views/${this.view}/records/doc-${document}`;
  }
}

export function documentId(document: number): string {
  return `doc-${document}`;
}

function sixDigits(random: Random): string {
  return String(random.below(1_000_000) / 1_000_000);
}

function decimalDigits(n: number): number {
  let digits = 1;
  for (let limit = 10; n >= limit; limit *= 10) digits += 1;
  return digits;
}
