import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { costPerRecord } from '../../native-free-bench/table.js';
import { hitPercent, REFERENCES, readTrace } from '../../native-free-bench/traces.js';
import { homeBucket, Key } from '../../src/l1/hash.js';
import { PROBE_BUCKETS, SLOTS, TableView } from '../../src/l1/layout.js';
import { checkValue, isFull, makeValue, openTable } from './table-fixture.js';

const TRACES = new URL('../../../test/fixtures/traces/', import.meta.url).pathname;
/** Replayed in every run; the longer ones with the full sizes. */
const SHORT = ['web07', 'gli', 'multi2', 'multi3', 'ps', 'sprite', 'corda'];

describe('hit ratios on recorded traces', () => {
  const cases = REFERENCES.flatMap(reference => {
    if (!existsSync(`${TRACES}${reference.trace}.u32.gz`)) return [];
    if (!isFull && !SHORT.includes(reference.trace)) return [];
    const policies = (['s3-fifo', 'lru', 'lfu', 'fifo'] as const).filter(
      policy => reference[policy] !== undefined,
    );
    return policies.map(policy => ({ ...reference, policy, percent: reference[policy]! }));
  });

  it.each(cases)(
    '$trace @ $entries, $policy: $percent or better, less a point',
    ({ trace, entries, policy, percent }) => {
      expect(hitPercent(readTrace(TRACES, trace), entries, policy)).toBeGreaterThanOrEqual(percent - 1);
    },
  );
});

describe('a table filled to the brim', () => {
  it('costs at most 24 bytes a record beside key and value', () => {
    const { cost, entries, crowded } = costPerRecord(isFull ? 2 ** 28 : 2 ** 26);
    console.log(
      `cost: ${cost.toFixed(2)} bytes a record, ${entries} records, ${crowded} puts crowded out another`,
    );
    expect(cost).toBeLessThanOrEqual(24);
    expect(crowded).toBeLessThan(entries / 50);
  });
});

describe('keys made to collide', () => {
  it('meet bounded probes: the window holds 48, the others give way, all else is served', () => {
    const shape = {
      shards: 1,
      lanes: 1,
      caches: 1,
      buckets: 64,
      segments: 40,
      segmentBytes: 4096,
      readers: 1,
      buffers: 0,
    };
    const table = openTable(shape);
    const key = new Key(new TableView(table.handle).hashKey);
    // With the hash key in hand, which no client has.
    const crafted: string[] = [];
    for (let at = 0; crafted.length < 3000; at++) {
      key.fromString(0, `evil-${at}`);
      if (homeBucket(key.hashLow, shape.buckets) === 7) crafted.push(`evil-${at}`);
    }
    for (const id of crafted) {
      expect(table.writer.put(0, id, makeValue(id, 1, 4), Infinity)).toBe('stored');
      table.reader.key(0, id);
      expect(checkValue(id, table.reader.words, table.reader.get(table.clock.now()))).toBe(1);
    }
    const served = crafted.filter(id => {
      table.reader.key(0, id);
      return table.reader.get(table.clock.now()) >= 0;
    });
    expect(served.length).toBeGreaterThanOrEqual(SLOTS);
    expect(served.length).toBeLessThanOrEqual(shape.buckets * SLOTS);
    expect(table.caches.shardFigures(0).distances).toHaveLength(PROBE_BUCKETS);
    expect(table.caches.figures(0).entries).toBe(served.length);
    for (let at = 0; at < 100; at++) {
      const id = `good-${at}`;
      expect(table.writer.put(0, id, makeValue(id, 1, 4), Infinity)).toBe('stored');
      table.reader.key(0, id);
      expect(checkValue(id, table.reader.words, table.reader.get(table.clock.now()))).toBe(1);
    }
  });
});
