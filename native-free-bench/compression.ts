/**
 * What it takes to compress results of searches, and what is left of them:
 * `node dist/native-free-bench/compression.js [--tiny]`.
 *
 * Results are JSON of 1 to 64 KiB, hits that are documents of `examples/debian-packages.ndjson.gz` drawn at random, each
 * payload other ones; then packed vectors, of random directions. Ways take turns within each round. CPU is the process's,
 * the median of the rounds. "copy" is what a hit in shared memory takes anyway; "entry" is all that a lane does: a stored
 * record made of an entry's, and back, with their checksums. Packages that compress are compared too if the working
 * directory has them: `npm install lz4-napi @bokuweb/zstd-wasm` in one of its own.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import type { Version } from '../src/base/clock.js';
import { EntryCompressor } from '../src/caches/compression/compressed-entry.js';
import { BLOCK_BYTES_MAX, Lz4 } from '../src/caches/compression/lz4.js';
import { CACHE_STANDARD } from '../src/caches/definition.js';
import { PACKINGS, pack } from '../src/caches/embeddings/packing.js';
import { fillEntry } from '../src/caches/entry.js';
import { entryViewOf } from '../src/caches/entry-view.js';
import { RecordEncoder } from '../src/views/record-codec.js';
import { RecordDraft } from '../src/views/record-draft.js';
import { viewOf } from '../src/views/schema.js';
import { Random } from './data/random.js';
import { Results } from './data/results.js';

const SIZES = process.argv.includes('--tiny')
  ? { kibs: [1, 16], payloads: 2, rounds: 2, millis: 1, dimensions: 48 }
  : { kibs: [1, 2, 4, 16, 64], payloads: 32, rounds: 15, millis: 40, dimensions: 384 };
const SEED = 20_260_104;

interface Way {
  readonly name: string;
  readonly compress: (bytes: Uint8Array) => Uint8Array | undefined;
  readonly expand: (block: Uint8Array, length: number) => Uint8Array | undefined;
}

const random = new Random(SEED);

/** Even over all directions, of length 1. */
function vector(): Float32Array {
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const elements = Float32Array.from({ length: SIZES.dimensions }, gauss);
  const norm = Math.hypot(...elements);
  return elements.map(element => element / norm);
}

function ownWays(): Way[] {
  const lz4 = new Lz4();
  const scratch = new Uint8Array(BLOCK_BYTES_MAX);
  const copy = (bytes: Uint8Array) => {
    scratch.set(bytes);
    return scratch.subarray(0, bytes.length);
  };
  return [
    { name: 'copy', compress: copy, expand: copy },
    {
      name: 'LZ4',
      compress: bytes => lz4.compress(bytes, BLOCK_BYTES_MAX)?.slice(),
      expand: (block, length) => lz4.expand(block, length)?.slice(),
    },
  ];
}

/** Of Node.js itself; each call makes a stream and destroys it. */
function zlibWays(): Way[] {
  const deflate = (level: number): Way => ({
    name: `deflate ${level}`,
    compress: bytes => zlib.deflateRawSync(bytes, { level }),
    expand: (block, length) => zlib.inflateRawSync(block, { maxOutputLength: length }),
  });
  const brotli = (quality: number): Way => ({
    name: `Brotli ${quality}`,
    compress: bytes =>
      zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: quality } }),
    expand: (block, length) => zlib.brotliDecompressSync(block, { maxOutputLength: length }),
  });
  return [deflate(1), deflate(6), brotli(1), brotli(4)];
}

interface NativePackage {
  readonly compressSync: Way['compress'];
  readonly uncompressSync: (block: Uint8Array) => Uint8Array;
}

interface ZstdPackage {
  init(): Promise<void>;
  compress(bytes: Uint8Array, level: number): Uint8Array;
  decompress(block: Uint8Array): Uint8Array;
}

const installed = createRequire(join(process.cwd(), 'package.json'));

async function packageWays(): Promise<Way[]> {
  const native = (name: string): Way => {
    const { compressSync, uncompressSync } = installed(name) as NativePackage;
    return { name, compress: compressSync, expand: block => uncompressSync(block) };
  };
  const zstd = async (name: string): Promise<Way> => {
    const { init, compress, decompress } = installed(name) as ZstdPackage;
    await init();
    return { name, compress: bytes => compress(bytes, 1), expand: decompress };
  };
  const makers = { 'lz4-napi': native, '@bokuweb/zstd-wasm': zstd };
  const ways: Way[] = [];
  for (const [name, make] of Object.entries(makers)) {
    try {
      ways.push(await make(name));
    } catch (error) {
      process.stderr.write(
        `without ${name}: ${error instanceof Error ? error.message.split('\n')[0] : error}\n`,
      );
    }
  }
  return ways;
}

/** Of entries that have a payload each, as records; a record that stays as it is, is told by its own length. */
function entryWay(): Way & { entryOf(payload: Uint8Array): Uint8Array } {
  const compressor = new EntryCompressor();
  const { features, ...rest } = entryViewOf({ ...CACHE_STANDARD, name: 'results' });
  const place = { ...rest, features: [...features], l1Bytes: undefined };
  const view = viewOf({ ...place, uid: 1, slot: 0, schema: 1, ttlMs: 1 });
  const [draft, encoder] = [new RecordDraft(view), new RecordEncoder(view)];
  const times = { version: 1 as Version, writtenAt: 1, freshUntil: 2, expiresAt: 3 };
  const head = { contentType: 'application/json', tags: ['query:a'], freshMs: 1 };
  return {
    name: 'entry',
    compress: entry => compressor.compress(entry, 0) ?? entry,
    expand: stored => compressor.expand(stored) ?? stored,
    entryOf: payload => {
      draft.reset();
      fillEntry(draft, { ...head, staleWhileRevalidateMs: 1, staleIfErrorMs: 1 }, payload);
      return encoder.encode(draft, times);
    },
  };
}

/** CPU a call, in microseconds; the system counts it in steps, so there are many calls. */
function cpuMicros(call: (n: number) => unknown): number {
  const before = process.cpuUsage();
  const began = performance.now();
  let calls = 0;
  do call(calls++);
  while (performance.now() - began < SIZES.millis);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const sumOf = (all: readonly Uint8Array[]) => all.reduce((sum, { length }) => sum + length, 0);

/** Each way with what it is given: entries are records. */
function compare(title: string, ways: readonly (readonly [Way, readonly Uint8Array[]])[]): void {
  const measured = ways.map(([way, inputs]) => {
    const blocks = inputs.map(input => new Uint8Array(way.compress(input) ?? input));
    blocks.forEach((block, n) => {
      const input = inputs[n] as Uint8Array;
      const back = way.expand(block, input.length);
      if (back === undefined || Buffer.compare(back, input) !== 0) throw new Error(`${way.name} loses bytes`);
    });
    return { way, inputs, blocks, compress: [] as number[], expand: [] as number[] };
  });
  for (let round = -1; round < SIZES.rounds; round++) {
    for (const { way, inputs, blocks, compress, expand } of measured) {
      const at = (n: number) => n % inputs.length;
      const one = cpuMicros(n => way.compress(inputs[at(n)] as Uint8Array));
      const other = cpuMicros(n =>
        way.expand(blocks[at(n)] as Uint8Array, (inputs[at(n)] as Uint8Array).length),
      );
      if (round < 0) continue;
      compress.push(one);
      expand.push(other);
    }
  }
  for (const { way, inputs, blocks, compress, expand } of measured) {
    const left = ((100 * sumOf(blocks)) / sumOf(inputs)).toFixed(0).padStart(3);
    const [made, back] = [compress, expand].map(micros => median(micros).toFixed(1).padStart(7));
    process.stdout.write(
      `${title}, ${way.name.padEnd(18)} ${left} % left   compress ${made} µs   expand ${back} µs\n`,
    );
  }
}

const results = new Results(random);
const [own, ofZlib, ofPackages, entries] = [ownWays(), zlibWays(), await packageWays(), entryWay()];

for (const kib of SIZES.kibs) {
  const payloads = Array.from({ length: SIZES.payloads }, () => results.next(1024 * kib));
  const ways = [...own, ...ofZlib, ...ofPackages].map(way => [way, payloads] as const);
  compare(`${String(kib).padStart(2)} KiB`, [...ways, [entries, payloads.map(entries.entryOf)]]);
}
for (const packing of PACKINGS) {
  const format = { packing, dimensions: SIZES.dimensions };
  const vectors = Array.from({ length: SIZES.payloads }, () => pack(format, vector()));
  const ways = [...own, ...ofZlib.slice(0, 1), ...ofPackages].map(way => [way, vectors] as const);
  compare(packing, [...ways, [entries, vectors.map(entries.entryOf)]]);
}
