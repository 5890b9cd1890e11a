import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { RedisKeys } from '../../src/tiers/redis-keys.js';
import { mgetCommand } from '../../src/tiers/redis-mget.js';
import { packRedisValue, REDIS_HEADER_BYTES, unpackRedisValue } from '../../src/tiers/redis-value.js';

const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });
const uid = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 9, 10, 2 ** 32 - 1));
const keys = new RedisKeys('headrace:');

it('names records so that the name leads back', () => {
  fc.assert(
    fc.property(uid, id, (viewUid, name) => {
      const key = storageKey(viewUid, name);
      expect(keys.of(key)).toBe(`headrace:${viewUid}:${name}`);
      expect(keys.storageKey(Buffer.from(keys.of(key)))).toEqual(key);
    }),
  );
});

it('takes no other key for a record', () => {
  const others = [
    '',
    'h',
    'headrace',
    'headrace:',
    'headrace:7',
    'headrace::a',
    'headrace:07:a',
    'headrace:x:a',
  ];
  for (const other of [
    ...others,
    'headrace:4294967296:a',
    'headrace:99999999999999999999:a',
    keys.catalog,
    'other:7:a',
  ]) {
    expect(keys.storageKey(Buffer.from(other)), other).toBeUndefined();
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
      const back = keys.storageKey(Buffer.concat([Buffer.from('headrace:'), bytes]));
      if (back !== undefined) expect(back.length).toBeGreaterThanOrEqual(4);
    }),
  );
});

it('writes MGET as the protocol has it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(uid, fc.string({ unit: 'binary', minLength: 1, maxLength: 512 })), { minLength: 1 }),
      pairs => {
        const storageKeys = pairs.map(([viewUid, name]) => storageKey(viewUid, name));
        const names = storageKeys.map(key => Buffer.from(keys.of(key)));
        const expected = [Buffer.from('MGET'), ...names].map(argument =>
          Buffer.concat([Buffer.from(`$${argument.length}\r\n`), argument, Buffer.from('\r\n')]),
        );
        const bytes = mgetCommand(keys, storageKeys, 0, storageKeys.length).toWritable({});
        expect(bytes).toEqual(Buffer.concat([Buffer.from(`*${names.length + 1}\r\n`), ...expected]));
      },
    ),
  );
});

it('keeps values, and shows one with a damaged header as empty', () => {
  const version = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(
      version,
      fc.uint8Array({ maxLength: 20 }),
      fc.nat(8 * REDIS_HEADER_BYTES - 1),
      (number, value, bit) => {
        const packed = packRedisValue(number as Version, value);
        expect(Buffer.from(unpackRedisValue(packed) ?? [])).toEqual(Buffer.from(value));
        expect(unpackRedisValue(packed.subarray(0, bit >> 3))).toHaveLength(0);
        packed[bit >> 3] = (packed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(unpackRedisValue(packed)).toHaveLength(0);
      },
    ),
  );
  expect(unpackRedisValue(Buffer.alloc(100))).toHaveLength(0);
  expect(unpackRedisValue(null)).toBeUndefined();
});
