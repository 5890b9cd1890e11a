/** Every type of feature, tags and metadata: what was written is what is read, as JSON and as FlatBuffers. */
import fc from 'fast-check';
import { ByteBuffer } from 'flatbuffers';
import { expect, test } from 'vitest';
import { FeatureRecord } from '../../src/views/generated/headrace/feature-record.js';
import { verifyRecord } from '../../src/views/record-codec.js';
import { SEED } from '../base/seeded.js';
import { type Answer, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf, type Subject } from './both-fronts.js';

const FLATBUFFERS = { accept: 'application/vnd.headrace.flatbuffers' };
const TYPES = {
  flag: 'bool',
  count: 'int64',
  rank: 'float32',
  score: 'float64',
  title: 'string',
  hash: 'bytes',
  vector: 'float32[3]',
} as const;

interface Features {
  readonly flag: boolean | null;
  readonly count: number | null;
  readonly rank: number | null;
  readonly score: number | null;
  readonly title: string | null;
  readonly hash: string | null;
  readonly vector: readonly number[] | null;
}

/** JSON knows no negative zero: -0 is printed as 0 by JSON.stringify, and compares equal here. */
const float32 = fc.float({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0);
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const nullable = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 5 });
const featuresArbitrary: fc.Arbitrary<Features> = fc.record({
  flag: nullable(fc.boolean()),
  count: nullable(fc.maxSafeInteger().map(value => value + 0)),
  rank: nullable(float32),
  score: nullable(fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0)),
  title: nullable(text),
  hash: nullable(fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes).toString('base64'))),
  vector: nullable(fc.array(float32, { minLength: 3, maxLength: 3 })),
});
const metadataArbitrary = fc
  .dictionary(text, fc.oneof(text, fc.maxSafeInteger(), fc.boolean(), fc.constant(null)), { maxKeys: 4 })
  .map(members => JSON.stringify(members));

/** JSON has the shortest text of a float32, which reads back to that float32 and not to that float64. */
function rounded(answer: Answer): unknown {
  const body = answer.json() as { features: Features };
  const { rank, vector } = body.features;
  const floats = { rank: rank === null ? null : Math.fround(rank), vector: vector?.map(Math.fround) ?? null };
  return { ...body, features: { ...body.features, ...floats } };
}

async function packed({ api }: Subject, path: string): Promise<FeatureRecord> {
  const { bytes, headers } = await api.get(path, FLATBUFFERS);
  expect(headers['content-type']).toBe(FLATBUFFERS.accept);
  expect(verifyRecord(bytes)).toBe(true);
  expect(FeatureRecord.bufferHasIdentifier(new ByteBuffer(bytes))).toBe(true);
  return FeatureRecord.getRootAsFeatureRecord(new ByteBuffer(bytes));
}

/** Every type stands once in the view, so each column has one place. */
function unpacked(record: FeatureRecord): Features {
  const isNull = (position: number) => ((record.nulls(position >> 3) ?? 0) & (1 << (position & 7))) !== 0;
  const unless = <T>(position: number, value: () => T) => (isNull(position) ? null : value());
  return {
    flag: unless(0, () => record.bools(0) === 1),
    count: unless(1, () => Number(record.int64s(0))),
    rank: unless(2, () => record.float32s(0)),
    score: unless(3, () => record.float64s(0)),
    title: unless(4, () => record.strings(0)),
    hash: unless(5, () => Buffer.from(record.bytes(0)?.dataArray() ?? []).toString('base64')),
    vector: unless(6, () => [0, 1, 2].map(n => record.embeddings(n) ?? 0)),
  };
}

onBothFronts('features', subject => {
  test(`of all types read back as they were written, in both forms (seed ${SEED})`, async () => {
    const { api } = subject;
    const view = await subject.view(TYPES);
    let version = 0;
    const tags = fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(featuresArbitrary, tags, metadataArbitrary, async (features, tags, metadata) => {
        version++;
        const path = recordPath(view, 'x');
        const body = `{"metadata":${metadata},"features":${JSON.stringify(features)},"version":${version},"tags":${JSON.stringify(tags)}}`;
        expect((await api.put(path, body)).json()).toEqual({ id: 'x', version, applied: true });
        expect(rounded(await api.get(path))).toEqual({ view, id: 'x', version, features });
        const record = await packed(subject, path);
        expect(unpacked(record)).toEqual(features);
        expect(Array.from({ length: record.tagsLength() }, (_, n) => record.tags(n))).toEqual(tags);
        expect([record.version(), record.metadata(), record.schema()]).toEqual([
          BigInt(version),
          metadata,
          1,
        ]);
        expect(record.expiresAt() - record.writtenAt()).toBe(3_600_000n);
        await api.post(`/v1/views/${view}/invalidate`, { all: true });
        expect(rounded(await api.get(path))).toEqual({ view, id: 'x', version, features });
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test('at the ends of their ranges', async () => {
    const { api } = subject;
    const view = await subject.view(TYPES);
    const values = [
      ['count', '9007199254740991', '9007199254740991'],
      ['count', '-9007199254740991', '-9007199254740991'],
      ['count', '-0', '0'],
      ['count', '1.5e1', '15'],
      ['rank', '0.1', '0.1'],
      ['rank', '16777217', '16777216'],
      ['rank', '1e-46', '0'],
      ['rank', '1e-45', '1e-45'],
      ['rank', '3.4028235e38', '3.4028235e+38'],
      ['score', '5e-324', '5e-324'],
      ['score', '1.7976931348623157e308', '1.7976931348623157e+308'],
      ['title', '"\\u0000\\ud83d\\ude00\\n\\/"', '"\\u0000😀\\n/"'],
      ['title', '""', '""'],
      ['hash', '""', '""'],
      ['hash', '"AA=="', '"AA=="'],
    ] as const;
    for (const [name, given, read] of values) {
      await api.put(recordPath(view, 'x'), `{"features":{"${name}":${given}}}`);
      const { text: json } = await api.get(`${recordPath(view, 'x')}?features=${name}`);
      const printed = /"features":\{"\w+":(.*)\}\}$/.exec(json)?.[1] ?? '';
      expect([name, given, JSON.parse(printed)]).toEqual([name, given, JSON.parse(read)]);
    }
  });

  test('that do not fit are named one by one, and nothing is written', async () => {
    const { api } = subject;
    const view = await subject.view(TYPES);
    const wrong = {
      flag: ['1', '"true"', '[]', '{}'],
      count: ['1.5', '"1"', 'true', '9007199254740992', '-9007199254740992', '1e400', '[1]'],
      rank: ['"0.5"', '1e39', '-1e39', '1e400', 'true', '[0.5]', '{}'],
      score: ['"1"', '1e309', 'false', '{}'],
      title: ['1', 'true', '["x"]', '{"x":1}'],
      hash: ['"A"', '"AA"', '"AA-_"', '"AA==\\n"', '1', '[0]'],
      vector: [
        '[1,2]',
        '[1,2,3,4]',
        '[]',
        '[1,2,null]',
        '[1,2,"3"]',
        '[1,2,1e39]',
        '[[1],[2],[3]]',
        '"x"',
        '1',
      ],
    };
    for (const [name, values] of Object.entries(wrong)) {
      for (const value of values) {
        const answer = await api.put(recordPath(view, 'x'), `{"features":{"${name}":${value}}}`);
        const [place = '', ...others] = placesOf(expectProblem(answer, 422, 'invalid-record'));
        expect([name, value, place.startsWith(`features.${name}`)]).toEqual([name, value, true]);
        expect(others.every(other => other.startsWith(`features.${name}[`))).toBe(true);
      }
    }
    const all = Object.entries(wrong).map(([name, [value = '']]) => `"${name}":${value}`);
    const answer = await api.put(
      recordPath(view, 'x'),
      `{"features":{${all.join()},"unknown":1,"__proto__":{"flag":true}}}`,
    );
    const places = placesOf(expectProblem(answer, 422, 'invalid-record'));
    expect(places).toEqual([...Object.keys(wrong), 'unknown', '__proto__'].map(name => `features.${name}`));
    for (const notJson of [
      'NaN',
      'Infinity',
      '-Infinity',
      '+1',
      '.5',
      '01',
      '0x1',
      "'x'",
      'undefined',
      '1_000',
    ]) {
      const broken = await api.put(recordPath(view, 'x'), `{"features":{"rank":${notJson}}}`);
      expect(placesOf(expectProblem(broken, 400, 'bad-json'))[0]).toMatch(/^line 1, column 2\d$/);
    }
    expectProblem(await api.get(recordPath(view, 'x')), 404, 'record-not-found');
  });

  test('4,096 of them are one record', async () => {
    const { api } = subject;
    const names = Array.from({ length: 4096 }, (_, n) => `f${n}`);
    const view = await subject.view(Object.fromEntries(names.map(name => [name, 'float32'])));
    const features = Object.fromEntries(names.map((name, n) => [name, n % 7 === 0 ? null : n / 8]));
    expect((await api.put(recordPath(view, 'x'), { features })).status).toBe(200);
    expect((await api.get(recordPath(view, 'x'))).json()).toMatchObject({ features });
    expect((await api.get(`${recordPath(view, 'x')}?features=f4095,f0`)).json()).toMatchObject({
      features: { f4095: null, f0: null },
    });
  });
});
