/** Scores entries of a cache of embeddings where they lie: in shared memory, or among the rows of a lane's answer. */
import type { FenceSet } from '../../views/fence-set.js';
import { EntryReader } from '../entry.js';
import { freshnessOf } from '../freshness.js';
import { packedVector } from './embedding.js';
import { EmbeddingScorer, type ScoreRequest } from './scorer.js';
import type { Match } from './top-k.js';

/** What a reader of shared memory has of the entries that it has just read. */
export interface EntryRows {
  getMany(slot: number, ids: readonly string[], from: number, nowMs: number): number;
  lengthOf(row: number): number;
  offsetOf(row: number): number;
  readonly bytes: Uint8Array;
}

/** Where a cache's entries are in shared memory, and which of them were invalidated. */
export interface EntryPlace {
  readonly slot: number;
  readonly fences: Pick<FenceSet, 'hidesId'> | undefined;
}

export interface Scored {
  /** Best first. */
  readonly matches: readonly Match[];
  /** Places of candidates of which there is no vector that may be served; the malformed ones are among them. */
  readonly missing: readonly number[];
  /** Entries that hold no vector of the cache's format. */
  readonly malformed: number;
}

/** One for each thread that scores. From `begin` to `take` it belongs to one question. */
export class EntryScorer {
  readonly #scorer = new EmbeddingScorer();
  readonly #entry = new EntryReader();
  #request: ScoreRequest | undefined;
  #nowMs = 0;
  #missing: number[] = [];
  #malformed = 0;

  /** @throws HeadraceError `invalid-vector` when the query is none of the format. */
  begin(request: ScoreRequest, nowMs: number): void {
    this.#scorer.begin(request);
    this.#request = request;
    this.#nowMs = nowMs;
    this.#missing = [];
    this.#malformed = 0;
  }

  /**
   * Scores those of the ids from place `from` up to `to` that shared memory has and no fence hides; adds the places of the
   * others to `absent`: what was put since the invalidation may be below.
   */
  offerRows(
    rows: EntryRows,
    { slot, fences }: EntryPlace,
    ids: readonly string[],
    from: number,
    to: number,
    absent: number[],
  ): void {
    for (let at = from, read = 0; at < to; at += read) {
      read = Math.min(rows.getMany(slot, ids, at, this.#nowMs), to - at);
      for (let row = 0; row < read; row++) {
        const place = at + row;
        const length = rows.lengthOf(row);
        const offset = rows.offsetOf(row);
        const isServed =
          length >= 0 && fences?.hidesId(rows.bytes, offset, offset + length, ids[place] ?? '') !== true;
        if (isServed) this.offer(rows.bytes, offset, length, place);
        else absent.push(place);
      }
    }
  }

  /** Scores the entry of `length` bytes at `offset`. */
  offer(bytes: Uint8Array, offset: number, length: number, place: number): void {
    const entry = this.#entry;
    entry.reset(bytes, offset, length);
    const isNone = entry.isTombstone || entry.isAbsent;
    if (isNone || freshnessOf(entry, this.#nowMs) === 'old') this.#missing.push(place);
    else {
      const packed = this.#request && packedVector(this.#request.format, entry);
      if (packed !== undefined && this.#scorer.offer(packed, place)) return;
      this.#malformed++;
      this.#missing.push(place);
    }
  }

  miss(place: number): void {
    this.#missing.push(place);
  }

  take(): Scored {
    return { matches: this.#scorer.take(), missing: this.#missing, malformed: this.#malformed };
  }
}
