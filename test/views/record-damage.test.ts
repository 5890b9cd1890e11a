import { expect, test } from 'vitest';
import { HeadraceError } from '../../src/base/errors.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { readRecordId } from '../../src/views/record-id.js';
import { RecordJsonReader } from '../../src/views/record-json.js';
import { viewOf } from '../../src/views/schema.js';
import { FULL, FULL_TIMEOUT, SEED, Seeded } from '../base/seeded.js';

const VIEW = viewOf({
  name: 'docs',
  uid: 1,
  slot: 0,
  schema: 1,
  entity: 'doc',
  ttlMs: 1,
  features: [
    ['hostrank', 'float32'],
    ['spamness', 'float64'],
    ['count', 'int64'],
    ['adult', 'bool'],
    ['title', 'string'],
    ['hash', 'bytes'],
    ['vector', 'float32[3]'],
  ],
  l1Bytes: undefined,
  eviction: 's3-fifo',
});

test('damaged records are refused as they should be, and leave nothing behind', FULL_TIMEOUT, () => {
  const whole = Buffer.from(
    `{"id":"a","version":7,"ttl":"1h","tags":["x"],"metadata":{"k":[1]},"features":{"hostrank":0.5,"title":"é",
    "count":3,"vector":[1,2,3],"hash":"AP8=","adult":true,"spamness":-1e-3}}`,
  );
  const pieces = [
    '',
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '\\',
    '0',
    '-',
    'e',
    '.',
    'null',
    ' ',
    'é',
    '\u0000',
  ];
  const empty = structuredClone({ ...new RecordDraft(VIEW) });
  const reader = new RecordJsonReader(VIEW);
  const draft = new RecordDraft(VIEW);
  const random = new Seeded(SEED);
  let read = 0;
  for (let round = 0; round < (FULL ? 1_000_000 : 20_000); round++) {
    const at = random.below(whole.length);
    const rest = whole.subarray(at + random.below(4));
    const bytes = Buffer.concat([whole.subarray(0, at), Buffer.from(random.pick(pieces)), rest]);
    try {
      reader.read(draft, bytes, 0, bytes.length, 'body');
      read++;
      expect(JSON.parse(bytes.toString())).toMatchObject({ id: draft.id });
      expect(readRecordId(bytes, 0, bytes.length)).toBe(draft.id);
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      expect(error.code).toMatch(/^(bad-json|invalid-record)$/);
      expect(error.errors?.length).toBeGreaterThan(0);
      if (round % 100 === 0) expect(structuredClone({ ...draft })).toEqual(empty);
    }
  }
  expect(read).toBeGreaterThan(100);
});
