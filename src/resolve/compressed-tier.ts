/**
 * A tier that holds large entries of named caches compressed, wrapped from outside around any tier and its guard: what is
 * above has entries as they were written, what is below has what `caches/compression` makes of them.
 *
 * Nobody but the stored entry itself says whether it is compressed. So entries of servers with other thresholds are read
 * as well, and what is found damaged is handed on as it is stored: no record, that is, a miss, or in the store of record
 * UNAVAILABLE, as with anything that fails its check.
 *
 * Who needs no payloads reads the tier itself, as the walk does that erases (`store-walk.ts`).
 */
import type { Version } from '../base/clock.js';
import { viewUidOfStorageKey } from '../base/keys.js';
import type { ReadFrom, Tier, TierRead, TierWrite } from '../base/tier.js';
import { EntryCompressor, isCompressed } from '../caches/compression/compressed-entry.js';
import type { CacheDefinition } from '../caches/definition.js';
import { entryViewName } from '../caches/entry-view.js';
import type { Level } from './chain.js';
import type { LaneViews } from './lane-views.js';

type Values = Awaited<ReturnType<Tier['getMany']>>;

export interface StoredFormsOptions {
  readonly views: Pick<LaneViews, 'find'>;
  /** By the name of a cache's view: payloads above so many bytes are compressed. Nothing else is. */
  readonly compressAbove: ReadonlyMap<string, number>;
}

/** Of each cache. */
export function compressAboveOf(definitions: readonly CacheDefinition[]): ReadonlyMap<string, number> {
  return new Map(definitions.map(({ name, compressAbove }) => [entryViewName(name), compressAbove]));
}

/** Entries as they are stored, and back; one for all tiers of a lane. */
export class StoredForms {
  readonly #options: StoredFormsOptions;
  readonly #compressor = new EntryCompressor();
  readonly #aboveMin: number;
  /** What is in hand has been read from one tier, or written to it, and goes to the next: once is enough. */
  readonly #known = new WeakMap<Uint8Array, Uint8Array>();

  constructor(options: StoredFormsOptions) {
    this.#options = options;
    this.#aboveMin = Math.min(...options.compressAbove.values());
  }

  storedOf(write: TierWrite): TierWrite {
    const { key, value } = write;
    if (value.length <= this.#aboveMin) return write;
    const known = this.#known.get(value);
    if (known !== undefined) return { ...write, value: known };
    const name = this.#options.views.find(viewUidOfStorageKey(key))?.view.name;
    const above = name === undefined ? undefined : this.#options.compressAbove.get(name);
    if (above === undefined) return write;
    const stored = this.#compressor.compress(value, above) ?? value;
    this.#known.set(value, stored);
    return { ...write, value: stored };
  }

  entryOf(stored: Uint8Array): Uint8Array {
    if (!isCompressed(stored)) return stored;
    const entry = this.#compressor.expand(stored);
    if (entry === undefined) return stored;
    this.#known.set(entry, stored);
    return entry;
  }

  /** What was read as that. */
  readAs({ key, value }: TierRead): TierRead {
    return { key, value: this.#known.get(value) ?? value };
  }
}

export class CompressedTier implements Tier {
  readonly name: Tier['name'];
  readonly replace?: (write: TierWrite, over: Version | undefined) => Promise<boolean>;
  readonly discardMany?: (reads: readonly TierRead[]) => Promise<void>;
  readonly keysOf?: (viewUid: number) => AsyncIterable<readonly Uint8Array[]>;
  readonly #tier: Tier;
  readonly #forms: StoredForms;

  constructor(tier: Tier, forms: StoredForms) {
    this.name = tier.name;
    this.#tier = tier;
    this.#forms = forms;
    const { replace, discardMany, keysOf } = tier;
    if (replace !== undefined)
      this.replace = (write, over) => replace.call(tier, forms.storedOf(write), over);
    if (discardMany !== undefined)
      this.discardMany = reads =>
        discardMany.call(
          tier,
          reads.map(read => forms.readAs(read)),
        );
    if (keysOf !== undefined) this.keysOf = keysOf.bind(tier);
  }

  getMany(keys: readonly Uint8Array[], deadlineMs?: number, from?: ReadFrom): Promise<Values> | Values {
    const values = this.#tier.getMany(keys, deadlineMs, from);
    return values instanceof Promise ? values.then(found => this.#entries(found)) : this.#entries(values);
  }

  putMany(writes: readonly TierWrite[], deadlineMs?: number): Promise<readonly (Version | null)[]> {
    return this.#tier.putMany(
      writes.map(write => this.#forms.storedOf(write)),
      deadlineMs,
    );
  }

  deleteMany(keys: readonly Uint8Array[]): Promise<void> {
    return this.#tier.deleteMany(keys);
  }

  close(): Promise<void> {
    return this.#tier.close();
  }

  #entries(values: Values): Values {
    return values.map(value => value && this.#forms.entryOf(value));
  }
}

export function compressedLevels(levels: readonly Level[], options: StoredFormsOptions): readonly Level[] {
  const forms = new StoredForms(options);
  return levels.map(level => ({ ...level, tier: new CompressedTier(level.tier, forms) }));
}
