/** Entries as they are stored: the same again byte for byte, their heads readable, and nothing of what is damaged. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EntryCompressor, isCompressed } from '../../../src/caches/compression/compressed-entry.js';
import { BLOCK_BYTES_MAX } from '../../../src/caches/compression/lz4.js';
import { ENTRY_LIMITS, EntryReader } from '../../../src/caches/entry.js';
import {
  recordExpiresAt,
  recordVersion,
  sealRecord,
  verifyRecord,
  verifyStored,
} from '../../../src/views/record-codec.js';
import { RECORD_COMPRESSED_IDENTIFIER } from '../../../src/views/record-layout.js';
import { RecordReader } from '../../../src/views/record-reader.js';
import { spliced } from '../../../src/views/record-splice.js';
import { anyPayload, entryRecord, noise, resultOf } from './entry-record.js';

const compressor = new EntryCompressor();

function stored(entry: Uint8Array, above = 64): Uint8Array {
  const compressed = compressor.compress(entry, above);
  if (compressed === undefined) throw new Error('it pays');
  return compressed;
}

/** A stored entry of that payload, whole as far as its own checksum says. */
function withPayload(payload: Uint8Array): Uint8Array {
  const good = stored(entryRecord(resultOf(500)));
  const reader = new RecordReader();
  reader.reset(good);
  reader.locateBytes(0);
  const made = spliced(good, { at: reader.at, length: reader.length }, [payload]) as Uint8Array;
  return sealRecord(made, RECORD_COMPRESSED_IDENTIFIER);
}

function payloadOf(length: number, block: readonly number[]): Uint8Array {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, length, true);
  return Uint8Array.from([...new Uint8Array(head.buffer), ...block]);
}

describe('a compressed entry', () => {
  it('comes back byte for byte, and is read as before but for its payload', () => {
    const reader = new RecordReader();
    let compressed = 0;
    fc.assert(
      fc.property(
        anyPayload,
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), { maxLength: 5 }),
        fc.nat({ max: 2_000 }),
        (payload, tags, above) => {
          const entry = entryRecord(payload, { tags });
          const made = compressor.compress(entry, above);
          if (made === undefined) return;
          compressed++;
          expect(payload.length).toBeGreaterThan(above);
          expect(entry.length - made.length).toBeGreaterThanOrEqual(Math.floor(payload.length / 8) - 3);
          expect([verifyRecord(made), verifyStored(made), isCompressed(made)]).toEqual([false, true, true]);
          expect([recordVersion(made), recordExpiresAt(made)]).toEqual([
            recordVersion(entry),
            recordExpiresAt(entry),
          ]);
          reader.reset(made);
          expect(reader.tags()).toEqual(tags);
          expect(reader.string(0)).toBe('application/json');
          // Wherever it lies.
          const apart = new Uint8Array(made.length + 3);
          apart.set(made, 3);
          const expanded = compressor.expand(apart.subarray(3)) as Uint8Array;
          expect(Buffer.compare(expanded, entry)).toBe(0);
          expect(verifyRecord(expanded)).toBe(true);
        },
      ),
      { numRuns: 80 },
    );
    expect(compressed).toBeGreaterThan(10);
  });

  it('is one whose payload is above the threshold, to the byte', () => {
    const entry = entryRecord(resultOf(1_025));
    expect(compressor.compress(entry, 1_025)).toBeUndefined();
    expect(compressor.compress(entry, 1_024)).toBeDefined();
  });

  it('is one that it pays to compress', () => {
    const gain = (quiet: number) =>
      compressor.compress(entryRecord(Buffer.concat([noise(8_000), Buffer.alloc(quiet)])), 64);
    expect(gain(0)).toBeUndefined();
    expect(gain(1_000)).toBeUndefined();
    expect(gain(1_300)).toBeDefined();
    expect(compressor.compress(entryRecord(new Uint8Array(), { isAbsent: true }), 64)).toBeUndefined();
  });

  it('may be the largest there is', () => {
    const entry = entryRecord(resultOf(ENTRY_LIMITS.payloadBytes));
    expect(Buffer.compare(compressor.expand(stored(entry)) as Uint8Array, entry)).toBe(0);
  });
});

describe('what is damaged', () => {
  it('is told with any bit flipped, and cut anywhere', () => {
    const good = stored(entryRecord(resultOf(300), { tags: ['a'] }));
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const flipped = good.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (isCompressed(flipped)) expect(compressor.expand(flipped)).toBeUndefined();
      expect(verifyRecord(flipped)).toBe(false);
    }
    for (let length = 0; length < good.length; length++)
      expect(compressor.expand(good.subarray(0, length))).toBeUndefined();
  });

  it.each([
    [
      'is a bomb: 1 KiB of block that says it has 4 GiB',
      payloadOf(2 ** 32 - 1, [0x1f, 0, 1, 0, ...new Array(1_000).fill(255), 0]),
    ],
    ['is a bomb: has more than it says', payloadOf(16, [0x1f, 0, 1, 0, ...new Array(9_000).fill(255), 0, 0])],
    ['is a bomb: says a byte more than an entry may have', payloadOf(ENTRY_LIMITS.payloadBytes + 1, [0])],
    ['is a bomb: is larger than any entry', payloadOf(9, new Array(BLOCK_BYTES_MAX).fill(0))],
    ['has less than it says', payloadOf(9, [0x10, 1])],
    ['has no block', payloadOf(9, [])],
    ['has no head', Uint8Array.of(1, 2, 3)],
    ['has nothing', new Uint8Array()],
  ])('since its payload %s', (_, payload) => {
    expect(compressor.expand(withPayload(payload))).toBeUndefined();
  });

  it('does not pass for an entry, though it can be expanded', () => {
    // Whole by its own checksum: whoever made it did not know what the entry was.
    const expanded = compressor.expand(withPayload(payloadOf(1, [0x10, 1]))) as Uint8Array;
    expect(verifyRecord(expanded)).toBe(false);
  });

  it('never throws, whatever lies where', () => {
    const good = stored(entryRecord(resultOf(300), { tags: ['a', 'b'] }));
    const reader = new EntryReader();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 5), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        changes => {
          const changed = good.slice();
          for (const [at, byte] of changes) changed[at] = byte;
          const expanded = compressor.expand(sealRecord(changed, RECORD_COMPRESSED_IDENTIFIER));
          if (expanded !== undefined && verifyRecord(expanded)) reader.reset(expanded);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
