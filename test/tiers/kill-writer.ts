/** A process that writes for ever and says what is durable; it is killed. Arguments: directory, round. */
import { writeSync } from 'node:fs';
import type { Version } from '../../src/base/clock.js';
import { storageKey } from '../../src/base/keys.js';
import { RecordEncoder } from '../../src/views/record-codec.js';
import { RecordDraft } from '../../src/views/record-draft.js';
import { viewOf } from '../../src/views/schema.js';
import { openTestLmdb } from './lmdb-fixture.js';

const BATCH = 40;
const IDS = 4_000;
const IN_FLIGHT = 4;

const [directory, round] = process.argv.slice(2);
const { tier } = await openTestLmdb(directory);
const view = viewOf({
  name: 'v',
  uid: 1,
  slot: 0,
  schema: 1,
  entity: 'e',
  ttlMs: 1,
  features: [['text', 'string']],
  l1Bytes: undefined,
  eviction: 's3-fifo',
});
const draft = new RecordDraft(view);
const encoder = new RecordEncoder(view);
let next = Number(round) * 317;
let version = Number(round) * 1_000_000;

async function writeForEver(): Promise<never> {
  for (;;) {
    const from = next % IDS;
    const to = Math.min(IDS, from + BATCH);
    next = to === IDS ? 0 : to;
    const given = ++version as Version;
    const writes = [];
    for (let n = from; n < to; n++) {
      draft.reset();
      draft.strings[0] = `${n} at ${given} `.repeat(1 + (n % 40));
      draft.setPresent(0);
      const times = { version: given, writtenAt: 1, freshUntil: 2, expiresAt: 3 };
      writes.push({ key: storageKey(1, `id-${n}`), value: encoder.encode(draft, times), version: given });
    }
    await tier.putMany(writes);
    // Straight to the descriptor: what is said must be out before the process dies.
    writeSync(1, `${from} ${to} ${given}\n`);
  }
}

await Promise.all(Array.from({ length: IN_FLIGHT }, writeForEver));
