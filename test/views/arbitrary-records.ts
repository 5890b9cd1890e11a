/**
 * Random views and records for property tests, with the simple model they are held against: a record is a list of
 * cells, one a feature, in the order of the view.
 */
import fc from 'fast-check';
import type { Version } from '../../src/base/clock.js';
import type { RecordTimes } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { type FeatureType, SCALAR_TYPES, type View, viewOf } from '../../src/views/schema.js';

export type Cell = null | boolean | number | string | Uint8Array | readonly number[];

export interface Sample {
  readonly cells: readonly Cell[];
  readonly tags: string[];
  readonly metadata: string | undefined;
  readonly times: RecordTimes;
}

const { HEADRACE_TEST_SEED, HEADRACE_TEST_FULL } = process.env;

/** Fixed by `HEADRACE_TEST_SEED`; fast-check prints it, and the path to the case, when a property fails. */
export const SEED = Number(HEADRACE_TEST_SEED ?? Date.now() % 2 ** 31);
export const FULL = HEADRACE_TEST_FULL === '1';
/** For tests whose full size takes minutes. */
export const PATIENCE = { timeout: FULL ? 1_200_000 : 60_000 };
export const RUNS = { seed: SEED, numRuns: FULL ? 20_000 : 400 };

export const TIMES: RecordTimes = {
  version: 123_456_789_012_345 as Version,
  writtenAt: 1_700_000_000_000,
  freshUntil: 1_700_000_060_000,
  expiresAt: 1_700_003_600_000,
};

const text = fc.string({ unit: 'binary', maxLength: 70 });
const featureType: fc.Arbitrary<FeatureType> = fc.oneof(
  fc.constantFrom(...SCALAR_TYPES),
  fc.integer({ min: 1, max: 5 }).map((length): FeatureType => `float32[${length}]`),
);
const safeInteger = fc.maxSafeInteger();
const natural = fc.maxSafeNat();

const featureName = fc.oneof(
  { arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }), weight: 9 },
  { arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', '0'), weight: 1 },
);

export const viewArbitrary: fc.Arbitrary<View> = fc
  .uniqueArray(fc.tuple(featureName, featureType), {
    minLength: 1,
    maxLength: 40,
    selector: ([name]) => name,
  })
  .map(features => testView(features));

export function testView(features: readonly (readonly [string, FeatureType])[], schema = 1): View {
  const rest = { entity: 'doc', ttlMs: 1000, l1Bytes: undefined, eviction: 's3-fifo' } as const;
  return viewOf({ name: 'docs', uid: 1, slot: 0, schema, features, ...rest });
}

/** The same view before its last features were added. */
export function olderView(view: View, features: number): View {
  return testView([...view.features].slice(0, features), view.schema);
}

function cellOf(type: FeatureType): fc.Arbitrary<Cell> {
  const float32 = fc.float({ noNaN: true, noDefaultInfinity: true });
  switch (type) {
    case 'bool':
      return fc.boolean();
    case 'int64':
      return safeInteger;
    case 'float32':
      return float32;
    case 'float64':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'string':
      return text;
    case 'bytes':
      return fc.uint8Array({ maxLength: 70 });
    default: {
      const length = Number(type.slice(8, -1));
      return fc.array(float32, { minLength: length, maxLength: length });
    }
  }
}

export function sampleOf(view: View): fc.Arbitrary<Sample> {
  const dense = view.columns.map(({ type }) => cellOf(type));
  const sparse = dense.map(cell => fc.option(cell, { nil: null, freq: 4 }));
  const cells: fc.Arbitrary<Cell[]> = fc.oneof(
    fc.tuple(...sparse),
    fc.tuple(...dense),
    fc.constant(dense.map(() => null)),
  );
  return fc.record({
    cells,
    tags: fc.array(text, { maxLength: 5 }),
    metadata: fc.option(text, { nil: undefined }),
    times: fc.record({
      version: natural.map(version => version as Version),
      writtenAt: natural,
      freshUntil: natural,
      expiresAt: natural,
    }),
  });
}

/** A view and records of it. */
export const samplesArbitrary = viewArbitrary.chain(view =>
  fc.record({ view: fc.constant(view), samples: fc.array(sampleOf(view), { minLength: 1, maxLength: 12 }) }),
);

export const sampleArbitrary = viewArbitrary.chain(view =>
  fc.record({ view: fc.constant(view), sample: sampleOf(view) }),
);

/** Fills a draft as the parser of records does. */
export function draftOf(
  view: View,
  { cells, tags, metadata }: Sample,
  draft = new RecordDraft(view),
): RecordDraft {
  draft.reset();
  draft.tags = tags;
  draft.metadata = metadata;
  for (const { kind, position, index } of view.columns) {
    const cell = cells[position] ?? null;
    if (cell === null) continue;
    draft.setPresent(position);
    if (kind === 'string') draft.strings[index] = String(cell);
    else if (cell instanceof Uint8Array) draft.bytes[index] = cell;
    else if (kind === 'embedding') draft.embeddings.set(cell as readonly number[], index);
    else if (kind === 'bool') draft.bools[index] = cell === true ? 1 : 0;
    else if (kind === 'int64') draft.int64s[index] = Number(cell);
    else if (kind === 'float32') draft.float32s[index] = Number(cell);
    else draft.float64s[index] = Number(cell);
  }
  return draft;
}

/** As JSON has it: bytes as base64. */
export function jsonCell(cell: Cell | undefined): unknown {
  if (cell === undefined) return null;
  return cell instanceof Uint8Array ? Buffer.from(cell).toString('base64') : cell;
}

/** A small generator for loops too hot for fast-check: uint32s, xorshift. */
export function seededWords(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
