/** Lists of keys as files have them: what a line may be, what is passed over, how much is read. */
import { expect, test } from 'vitest';
import { canonicalKey } from '../../src/caches/canonical-key.js';
import { CACHE_STANDARD } from '../../src/caches/definition.js';
import { readKeyList } from '../../src/caches/key-list.js';
import { SEED, Seeded } from '../base/seeded.js';

const CACHE = { ...CACHE_STANDARD, name: 'c' };

const read = (text: string | Uint8Array, keysMax = 1_000, prefix = '') =>
  readKeyList(typeof text === 'string' ? Buffer.from(text) : text, {
    cache: { ...CACHE, prefix },
    keysMax,
    pause: async () => undefined,
  });

test('a line is a key, a key in JSON, or what a canonical key is made of', async () => {
  const parts = { query: 'Ｃafé  NOIR', params: { k: 10, user: 'u1' } };
  const lines = [
    'popular:global:10',
    ' spaces stay ',
    '{"key":"{braces}"}',
    JSON.stringify(parts),
    '',
    'last',
  ];
  const keys = ['popular:global:10', ' spaces stay ', '{braces}', canonicalKey(parts), 'last'];
  expect(await read(lines.join('\n'))).toEqual({ ids: keys, wrong: 0, problem: '' });
  expect((await read(`${lines.join('\r\n')}\r\n`)).ids).toEqual(keys);
  expect((await read(`\u{feff}first`, 1, 'p/')).ids).toEqual(['p/first']);
});

test('what is no key is passed over, counted, and the first is named with its line', async () => {
  const wrong = [
    '{"key":1}',
    '{"key":"a","k":2}',
    '{',
    'x'.repeat(513),
    'y'.repeat(40_000),
    '{"key":"\\ud800"}',
  ];
  const list = await read(['a', ...wrong, 'b'].join('\n'));
  expect(list).toMatchObject({ ids: ['a', 'b'], wrong: wrong.length });
  expect(list.problem).toMatch(/^line 2: /);
  expect(await read(Buffer.from([0x61, 10, 0xff, 10, 0x62]))).toMatchObject({ ids: ['a', 'b'], wrong: 1 });
  expect((await read('x'.repeat(510), 1, 'p/')).ids).toHaveLength(1);
  expect((await read('x'.repeat(511), 1, 'p/')).wrong).toBe(1);
});

test('so many keys are read, from the beginning, and others have their turn in between', async () => {
  let pauses = 0;
  const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, n) => `key-${n}`).join('\n'));
  const { ids } = await readKeyList(bytes, { cache: CACHE, keysMax: 500, pause: async () => void pauses++ });
  expect([ids.length, ids[0], ids.at(-1)]).toEqual([500, 'key-0', 'key-499']);
  expect(pauses).toBe(31);
});

test('any bytes are read', async () => {
  console.log(`key list: seed ${SEED}`);
  const random = new Seeded(SEED);
  for (let round = 0; round < 300; round++) {
    const bytes = Uint8Array.from({ length: random.below(400) }, () =>
      random.pick([10, 13, 0x7b, 0x22, 0x61, 0xff]),
    );
    const { ids, wrong } = await read(bytes);
    expect(ids.length + wrong).toBeLessThanOrEqual(bytes.filter(byte => byte === 10).length + 1);
    for (const id of ids) expect(id).toMatch(/^[\r"{a]+$/);
  }
});
