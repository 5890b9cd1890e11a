/** Lookups over arbitrary views and records, and what their answers must say. */
import fc from 'fast-check';
import { encodeTombstone, RecordEncoder } from '../../src/views/record-codec.js';
import type { View } from '../../src/views/schema.js';
import type { Selection } from '../../src/views/selection.js';
import { type Cell, draftOf, olderView, type Sample, samplesArbitrary } from '../views/arbitrary-records.js';

/** A row of a lookup: a record of the view or of the view as it was before, or why there is none. */
export interface Row {
  readonly id: string;
  readonly outcome: 'present' | 'older' | 'tombstone' | 'absent' | 'unavailable' | 'unreported';
  readonly sample: number;
}

export interface Lookup {
  readonly view: View;
  readonly samples: readonly Sample[];
  readonly rows: readonly Row[];
  readonly names: readonly string[];
  readonly olderFeatures: number;
}

export const lookupArbitrary: fc.Arbitrary<Lookup> = samplesArbitrary.chain(({ view, samples }) =>
  fc.record({
    view: fc.constant(view),
    samples: fc.constant(samples),
    rows: fc.array(
      fc.record<Row>({
        id: fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
        outcome: fc.constantFrom(
          'present',
          'present',
          'older',
          'tombstone',
          'absent',
          'unavailable',
          'unreported',
        ),
        sample: fc.nat(samples.length - 1),
      }),
      { maxLength: 40 },
    ),
    names: fc.shuffledSubarray(view.columns.map(({ name }) => name)),
    olderFeatures: fc.integer({ min: 1, max: view.columns.length }),
  }),
);

/** What the answer must say: a status, version and cells per row. */
export function expectedRow(
  { samples, olderFeatures }: Lookup,
  { features }: Selection,
  { outcome, sample }: Row,
) {
  const status = outcome === 'present' || outcome === 'older' ? 0 : outcome.startsWith('un') ? 2 : 1;
  const { cells = [], times } = (status === 0 ? samples[sample] : undefined) ?? {};
  const seen = outcome === 'older' ? olderFeatures : Number.POSITIVE_INFINITY;
  return {
    status,
    version: times?.version ?? null,
    cells: features.map(({ position }): Cell => (position < seen ? (cells[position] ?? null) : null)),
  };
}

/** The record or tombstone of each row, `undefined` where there is none. */
export function recordsOf({ view, samples, rows, olderFeatures }: Lookup): (Uint8Array | undefined)[] {
  const encoder = new RecordEncoder(view);
  const older = olderView(view, olderFeatures);
  const olderEncoder = new RecordEncoder(older);
  return rows.map(({ outcome, sample: n }) => {
    const sample = samples[n];
    if (sample === undefined) return undefined;
    if (outcome === 'tombstone') return encodeTombstone(sample.times.version, 1, 2);
    const cut = { ...sample, cells: sample.cells.slice(0, olderFeatures) };
    if (outcome === 'older') return olderEncoder.encode(draftOf(older, cut), sample.times).slice();
    return outcome === 'present' ? encoder.encode(draftOf(view, sample), sample.times).slice() : undefined;
  });
}
