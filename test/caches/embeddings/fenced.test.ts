/** Vectors in shared memory that a fence hides: none is scored, by the front or by a lane, though nothing has erased them yet. */
import { expect, it } from 'vitest';
import type { Version } from '../../../src/base/clock.js';
import { EMBEDDING_TYPE, embeddingPayload } from '../../../src/caches/embeddings/embedding.js';
import { EntryScorer } from '../../../src/caches/embeddings/entry-scorer.js';
import { ENTRY_FEATURES, fillEntry } from '../../../src/caches/entry.js';
import type { Lanes } from '../../../src/lanes/lanes.js';
import type { ReadOp } from '../../../src/lanes/messages.js';
import { packRows, ROW } from '../../../src/lanes/packed-rows.js';
import { Scoring } from '../../../src/lookup/scoring.js';
import { LaneViews } from '../../../src/resolve/lane-views.js';
import type { ReadResolver } from '../../../src/resolve/read-resolver.js';
import { ScoreResolver } from '../../../src/resolve/score-resolver.js';
import type { Fence } from '../../../src/views/fence.js';
import { fenceSetOf } from '../../../src/views/fence-set.js';
import { RecordEncoder } from '../../../src/views/record-codec.js';
import { RecordDraft } from '../../../src/views/record-draft.js';
import { type StoredView, viewOf } from '../../../src/views/schema.js';
import { openTable } from '../../l1/table-fixture.js';

const STORED: StoredView = {
  name: '@vectors',
  entity: 'entry',
  features: [...ENTRY_FEATURES],
  uid: 1,
  slot: 0,
  schema: 1,
  ttlMs: 1,
  l1Bytes: undefined,
  eviction: 'fifo',
};
const HOUR_MS = 3_600_000;
const format = { packing: 'float32', dimensions: 4 } as const;
const request = { format, metric: 'dot', query: [1, 0, 0, 0], k: 10 } as const;
const KEYS = ['tagged', 'other', 'anew', 'never'];
const FENCES: readonly (readonly [Fence, scored: readonly string[]])[] = [
  [{ kind: 'tag', text: 'run:7', schema: 2 }, ['other', 'anew']],
  [{ kind: 'prefix', text: 'oth', schema: 2 }, ['tagged', 'anew']],
  [{ kind: 'pattern', text: 'a*w', schema: 2 }, ['tagged', 'other', 'anew']],
  [{ kind: 'all', text: '', schema: 2 }, ['anew']],
];

/** `anew` was put by somebody who knew of the fence; it has the tag too. */
function filled() {
  const table = openTable();
  const now = table.clock.now();
  const times = {
    writtenAt: now,
    freshUntil: now + HOUR_MS,
    expiresAt: now + HOUR_MS,
    version: 1 as Version,
  };
  for (const [key, tags, schema] of [
    ['tagged', ['run:7'], 1],
    ['other', ['run:8'], 1],
    ['anew', ['run:7'], 2],
  ] as const) {
    const view = viewOf({ ...STORED, schema });
    const draft = new RecordDraft(view);
    const head = { contentType: EMBEDDING_TYPE, tags, freshMs: HOUR_MS };
    const payload = embeddingPayload(format, new Float32Array(4).fill(KEYS.indexOf(key) + 1));
    draft.reset();
    fillEntry(draft, { ...head, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 }, payload);
    const record = new RecordEncoder(view).encode(draft, times).slice();
    table.writer.put(STORED.slot, key, record, times.expiresAt);
  }
  return table;
}

it.each(FENCES)('are looked for below: $kind $text', async (fence, scored) => {
  const { reader, clock } = filled();
  const stored = { ...STORED, schema: 2, fences: [fence] };
  const view = viewOf(stored);
  const absent = KEYS.filter(key => !scored.includes(key));
  const idsOf = (matches: readonly { readonly place: number }[]) =>
    matches.map(({ place }) => KEYS[place]).sort();
  const wanted = [...scored].sort();

  const scorer = new EntryScorer();
  const places: number[] = [];
  scorer.begin(request, clock.now());
  scorer.offerRows(reader, { slot: view.slot, fences: fenceSetOf(view) }, KEYS, 0, KEYS.length, places);
  expect([idsOf(scorer.take().matches), places.map(place => KEYS[place])]).toEqual([wanted, absent]);

  // The lane, below which there is nothing, and the front over that lane.
  const asked: (readonly string[])[] = [];
  const read = (ops: readonly ReadOp[]) => {
    asked.push(...ops.map(({ ids }) => ids));
    return { rows: packRows(ops.flatMap(({ ids }) => ids.map(() => ROW.notFound))), failures: [null] };
  };
  const views = new LaneViews();
  views.declare(stored);
  const reads = { read } as unknown as ReadResolver;
  const lane = new ScoreResolver({ views, reads, table: reader, clock, pause: async () => undefined });
  const deadlineMs = clock.now() + HOUR_MS;
  const ofLane = await lane.score({ kind: 'score', viewUid: view.uid, ids: KEYS, request, deadlineMs });
  expect([[...ofLane.places].map(place => KEYS[place]).sort(), ofLane.below]).toEqual([
    wanted,
    absent.length,
  ]);

  const lanes = {
    laneOf: () => 0,
    score: (_: number, task: Parameters<Lanes['score']>[1]) => lane.score({ kind: 'score', ...task }),
  } as unknown as Lanes;
  const front = await new Scoring({ table: reader, lanes, clock }).score(view, KEYS, request, deadlineMs);
  expect([idsOf(front.matches), front.missing.map(place => KEYS[place])]).toEqual([wanted, absent]);
  expect(asked).toEqual([absent, absent]);
});
