/**
 * A record on its way in: typed columns for one view, reused from record to record. Filled by `record-json.ts`, packed
 * by `record-codec.ts`.
 */
import type { Version } from '../base/clock.js';
import type { View } from './schema.js';

export class RecordDraft {
  readonly view: View;
  id = '';
  version: Version | undefined;
  ttlMs: number | undefined;
  /** How long the record is kept when its ttl is over. */
  staleMs = 0;
  tags: string[] = [];
  /** A JSON object's text, as it came. */
  metadata: string | undefined;

  /** One bit a feature by its position, least significant first; set: null. */
  readonly nulls: Uint8Array;
  readonly bools: Uint8Array;
  /** Safe integers. */
  readonly int64s: Float64Array;
  readonly float32s: Float32Array;
  readonly float64s: Float64Array;
  readonly strings: string[];
  readonly bytes: Uint8Array[];
  /** All embeddings, one behind the other. */
  readonly embeddings: Float32Array;

  constructor(view: View) {
    const { widths } = view;
    this.view = view;
    this.nulls = new Uint8Array(Math.ceil(view.columns.length / 8));
    this.bools = new Uint8Array(widths.bool);
    this.int64s = new Float64Array(widths.int64);
    this.float32s = new Float32Array(widths.float32);
    this.float64s = new Float64Array(widths.float64);
    this.strings = new Array<string>(widths.string).fill('');
    this.bytes = new Array<Uint8Array>(widths.bytes).fill(EMPTY);
    this.embeddings = new Float32Array(widths.embedding);
    this.reset();
  }

  /** Every feature null, everything optional absent. Null places hold zeros, so that equal records pack alike. */
  reset(): void {
    this.id = '';
    this.version = undefined;
    this.ttlMs = undefined;
    this.staleMs = 0;
    this.tags = [];
    this.metadata = undefined;
    this.nulls.fill(0xff);
    this.bools.fill(0);
    this.int64s.fill(0);
    this.float32s.fill(0);
    this.float64s.fill(0);
    this.strings.fill('');
    this.releaseBytes();
    this.embeddings.fill(0);
  }

  /** Lets go of the request's buffer, which the values of bytes may be parts of. */
  releaseBytes(): void {
    this.bytes.fill(EMPTY);
  }

  isNull(position: number): boolean {
    return ((this.nulls[position >> 3] ?? 0xff) & (1 << (position & 7))) !== 0;
  }

  setPresent(position: number): void {
    const at = position >> 3;
    this.nulls[at] = (this.nulls[at] ?? 0) & ~(1 << (position & 7));
  }
}

const EMPTY = new Uint8Array(0);
