/**
 * Views: named, typed, append-only lists of features, and where each feature sits in a record.
 *
 * A feature's position never changes. Within a record, features of one type share a column; a feature is addressed by
 * its type and its index among the features of that type. As features are only ever added at the end, an index stays
 * valid for records of every schema number: one that lies past a record's column reads as null.
 */
import { HeadraceError, type ProblemDetail } from '../base/errors.js';
import type { Fence } from './fence.js';

export const SCALAR_TYPES = ['bool', 'int64', 'float32', 'float64', 'string', 'bytes'] as const;
export type ScalarType = (typeof SCALAR_TYPES)[number];
/** `float32[384]`: an embedding of 384 numbers. */
export type EmbeddingType = `float32[${number}]`;
export type FeatureType = ScalarType | EmbeddingType;
export type ColumnKind = ScalarType | 'embedding';

export const EVICTION_POLICIES = ['s3-fifo', 'fifo', 'lru', 'lfu', 'ttl'] as const;
export type EvictionPolicy = (typeof EVICTION_POLICIES)[number];

export const VIEW_LIMITS = {
  nameLength: 64,
  featureNameLength: 128,
  features: 4096,
  embeddingLength: 8192,
} as const;

/** What a client declares. */
export interface ViewDefinition {
  readonly entity: string;
  readonly ttlMs: number;
  /** In order: the position of a feature is its place here. */
  readonly features: ReadonlyMap<string, FeatureType>;
  /** Bytes of L1 this view may hold, whatever others want; `undefined`: an equal share of what is not assigned. */
  readonly l1Bytes: number | undefined;
  readonly eviction: EvictionPolicy;
}

export interface Feature {
  readonly name: string;
  readonly type: FeatureType;
  readonly kind: ColumnKind;
  /** Place in the view's schema, from 0: the bit in a record's null bitmap. */
  readonly position: number;
  /** Place in its kind's column, from 0; for an embedding the offset in floats. */
  readonly index: number;
  /** 1, or the embedding's length. */
  readonly length: number;
}

/** A declared view, as every thread knows it. Immutable; a change makes a new one. */
export interface View extends ViewDefinition {
  readonly name: string;
  /** Never used again, not even after the view was deleted: the prefix of its records' storage keys. */
  readonly uid: number;
  /** The view's place in L1's cache list, reused after the view was deleted. */
  readonly slot: number;
  /** From 1; grows when features are added, and with each fence. */
  readonly schema: number;
  /** What was invalidated and may still be stored; only built-in views have any. */
  readonly fences: readonly Fence[];
  readonly columns: readonly Feature[];
  readonly byName: ReadonlyMap<string, Feature>;
  /** Entries in a full column of each kind (floats for embeddings). */
  readonly widths: Readonly<Record<ColumnKind, number>>;
}

/** A view as the catalog keeps it, alike for all servers that share the catalog. */
export interface CatalogedView {
  readonly name: string;
  readonly uid: number;
  readonly schema: number;
  readonly entity: string;
  readonly ttlMs: number;
  readonly features: readonly (readonly [name: string, type: FeatureType])[];
  readonly l1Bytes: number | undefined;
  readonly eviction: EvictionPolicy;
  /** Absent when there are none. */
  readonly fences?: readonly Fence[];
}

/** The part of a view that crosses threads, with its place in this server's L1; `viewOf` makes the rest from it. */
export interface StoredView extends CatalogedView {
  readonly slot: number;
}

const EMBEDDING = /^float32\[([1-9][0-9]{0,5})\]$/;

/** The kind and length of a type, or `undefined` when it is none. */
export function parseFeatureType(type: string): { kind: ColumnKind; length: number } | undefined {
  for (const scalar of SCALAR_TYPES) if (scalar === type) return { kind: scalar, length: 1 };
  const length = Number(EMBEDDING.exec(type)?.[1] ?? 0);
  return length > 0 && length <= VIEW_LIMITS.embeddingLength ? { kind: 'embedding', length } : undefined;
}

const NO_FENCES: readonly Fence[] = [];

export function viewOf(stored: StoredView): View {
  const widths = { bool: 0, int64: 0, float32: 0, float64: 0, string: 0, bytes: 0, embedding: 0 };
  const columns = stored.features.map(([name, type], position): Feature => {
    const parsed = parseFeatureType(type);
    if (parsed === undefined)
      throw new HeadraceError('invalid-view', `unknown type ${type} of feature ${name}`);
    const index = widths[parsed.kind];
    widths[parsed.kind] += parsed.length;
    return { name, type, kind: parsed.kind, position, index, length: parsed.length };
  });
  const { features, ...rest } = stored;
  return {
    ...rest,
    fences: rest.fences ?? NO_FENCES,
    features: new Map(features),
    columns,
    byName: new Map(columns.map(feature => [feature.name, feature])),
    widths,
  };
}

export function storedViewOf(view: View): StoredView {
  const { name, uid, slot, schema, entity, ttlMs, l1Bytes, eviction, fences } = view;
  const stored = { name, uid, slot, schema, entity, ttlMs, features: [...view.features], l1Bytes, eviction };
  return fences.length === 0 ? stored : { ...stored, fences };
}

/** What of a view goes to the catalog; without a uid, what a new one begins with. */
export function catalogedViewOf(view: View): CatalogedView {
  const { slot: _slot, ...cataloged } = storedViewOf(view);
  return cataloged;
}

export type Declaration = 'created' | 'same' | 'changed';

/**
 * Holds a definition against the view that exists: the same, with features added at the end, or other options.
 * @throws HeadraceError `view-conflict` when a feature is missing, moved or of another type.
 */
export function redeclare(view: View, definition: ViewDefinition): { view: View; outcome: Declaration } {
  const conflicts: ProblemDetail[] = [];
  const declared = [...definition.features];
  for (const { name, type, position } of view.columns) {
    const [newName, newType] = declared[position] ?? [];
    if (newName === name && newType === type) continue;
    const found = definition.features.get(name);
    const detail =
      found === undefined
        ? 'is missing; features cannot be removed'
        : found !== type
          ? `is ${type} and cannot become ${found}`
          : 'has moved; features are added at the end';
    conflicts.push({ at: `features.${name}`, detail });
  }
  if (conflicts.length > 0) {
    throw new HeadraceError('view-conflict', `view ${view.name} exists with other features`, conflicts);
  }
  const grown = declared.length > view.columns.length;
  const same =
    !grown &&
    view.entity === definition.entity &&
    view.ttlMs === definition.ttlMs &&
    view.l1Bytes === definition.l1Bytes &&
    view.eviction === definition.eviction;
  if (same) return { view, outcome: 'same' };
  const { entity, ttlMs, l1Bytes, eviction } = definition;
  const { name, uid, slot } = view;
  const schema = view.schema + (grown ? 1 : 0);
  return {
    view: viewOf({ name, uid, slot, schema, entity, ttlMs, features: declared, l1Bytes, eviction }),
    outcome: 'changed',
  };
}
