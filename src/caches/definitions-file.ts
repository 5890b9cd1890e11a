/**
 * The configuration file: `{"caches": {"results": {"ttl": "1m"}, "plans": null, "suggest": {}}, "events": {…}}`.
 *
 * A cache that comes configured is changed where the file says so, and removed with null; any other name is a new
 * cache. What events invalidate, `events/event-rules.ts` says. Every problem is named with its path. The file is read once, at start.
 */
import { readFileSync, statSync } from 'node:fs';
import * as z from 'zod';
import { formatBytes } from '../base/bytes.js';
import { DURATION_MS_MAX, formatDuration } from '../base/duration.js';
import { HeadraceError, type ProblemDetail } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import { type JsonValue, readText } from '../base/json-value.js';
import { shown } from '../base/problem-list.js';
import { duration, plainObject, problemsOf, size } from '../base/zod-json.js';
import { EVICTION_POLICIES } from '../views/schema.js';
import { nameProblem, VIEW_BODY_LIMITS } from '../views/view-json.js';
import { CACHE_LIMITS, CACHE_STANDARD, CACHES_STANDARD, type CacheDefinition } from './definition.js';
import { type EmbeddingFormat, METRIC_STANDARD } from './embeddings/embedding.js';
import { PACKINGS } from './embeddings/packing.js';
import { METRICS } from './embeddings/top-k.js';
import { DIMENSIONS_MAX } from './embeddings/wasm/places.js';
import { EVENTS, type EventRules, eventRulesOf, NO_EVENTS } from './events/event-rules.js';
import { LEASE_LIMITS } from './lease-room.js';
import { ORIGIN, originJson } from './origin-definition.js';

export const DEFINITIONS_FILE_BYTES_MAX = 2 ** 20;

/** The file cannot be read or used; `message` has a line for each problem. */
export class DefinitionsFileError extends Error {
  override readonly name = 'DefinitionsFileError';
}

const PREFIX = z.string().superRefine((prefix, context) => {
  const bytes = Buffer.byteLength(prefix);
  const message = `has ${bytes} bytes, ${CACHE_LIMITS.prefixBytes} are allowed`;
  if (bytes > CACHE_LIMITS.prefixBytes) context.addIssue({ code: 'custom', message });
  // It would be a wildcard in the patterns that invalidate.
  if (prefix.includes('*')) context.addIssue({ code: 'custom', message: 'has a *, which is not allowed' });
});

const CACHE = z.strictObject({
  enabled: z.boolean().optional(),
  ttl: duration(1, DURATION_MS_MAX).optional(),
  staleWhileRevalidate: duration(0, DURATION_MS_MAX).optional(),
  staleIfError: duration(0, DURATION_MS_MAX).optional(),
  negativeTtl: duration(0, CACHE_LIMITS.negativeTtlMs).optional(),
  leaseTime: duration(0, LEASE_LIMITS.leaseMsMax).optional(),
  l1: z
    .strictObject({
      bytes: size(VIEW_BODY_LIMITS.l1BytesMin, VIEW_BODY_LIMITS.l1BytesMax).optional(),
      eviction: z.enum(EVICTION_POLICIES).optional(),
    })
    .optional(),
  compressAbove: size(CACHE_LIMITS.compressAboveMin, CACHE_LIMITS.compressAboveMax).optional(),
  tagsMax: z.int().min(0).max(CACHE_LIMITS.tags).optional(),
  prefix: PREFIX.optional(),
  embedding: z
    .strictObject({
      dimensions: z.int().min(1).max(DIMENSIONS_MAX),
      storage: z.enum(PACKINGS).optional(),
      metric: z.enum(METRICS).optional(),
    })
    .optional(),
  origin: ORIGIN.optional(),
});

type EmbeddingOptions = NonNullable<z.infer<typeof CACHE>['embedding']>;

/** Maps, as any name that the file may have would be none of an object's own. */
const FILE = z.strictObject({
  caches: z.map(z.string(), CACHE.nullable()).optional(),
  events: EVENTS.optional(),
});

export interface Definitions {
  readonly caches: readonly CacheDefinition[];
  readonly events: EventRules;
}

/** What there is with this file; with an empty path, what comes configured. @throws DefinitionsFileError */
export function readDefinitionsFile(path: string): Definitions {
  if (path === '') return { caches: CACHES_STANDARD, events: NO_EVENTS };
  return readDefinitions(bytesOf(path), path);
}

/** @throws DefinitionsFileError whose lines begin with `where`. */
export function readDefinitions(bytes: Uint8Array, where: string): Definitions {
  const failed = (problems: readonly ProblemDetail[]) =>
    new DefinitionsFileError(
      problems.map(({ at, detail }) => `${where}: ${at || 'the file'} ${detail}`).join('\n'),
    );
  const result = FILE.safeParse(fileForm(jsonOf(bytes, where)));
  if (!result.success) throw failed(problemsOf(result.error));
  const given = [...(result.data.caches ?? [])];
  const problems = given.flatMap(([name]) => {
    const detail = cacheNameProblem(name);
    return detail === undefined ? [] : [{ at: `caches.${shown(name)}`, detail }];
  });
  const caches = new Map(CACHES_STANDARD.map(cache => [cache.name, cache]));
  for (const [name, options] of given) {
    if (options === null) {
      if (!caches.delete(name))
        problems.push({ at: `caches.${name}`, detail: 'is null, but no cache that comes configured' });
    } else caches.set(name, changed(caches.get(name) ?? { ...CACHE_STANDARD, name }, options));
  }
  const { caches: cachesMax } = CACHE_LIMITS;
  if (caches.size > cachesMax)
    problems.push({ at: 'caches', detail: `makes ${caches.size} caches, ${cachesMax} are allowed` });
  const events = eventRulesOf(result.data.events ?? new Map(), caches, (at, detail) => {
    problems.push({ at, detail });
  });
  if (problems.length > 0) throw failed(problems);
  return { caches: [...caches.values()], events };
}

/** A definition as the file has it, with all that it leaves open. */
export function definitionJson(definition: CacheDefinition): Readonly<Record<string, unknown>> {
  const { embedding, l1Bytes, eviction, leaseMs, origin } = definition;
  return {
    enabled: definition.enabled,
    ttl: formatDuration(definition.ttlMs),
    staleWhileRevalidate: formatDuration(definition.staleWhileRevalidateMs),
    staleIfError: formatDuration(definition.staleIfErrorMs),
    negativeTtl: formatDuration(definition.negativeTtlMs),
    ...(leaseMs === undefined ? {} : { leaseTime: formatDuration(leaseMs) }),
    l1: { ...(l1Bytes === undefined ? {} : { bytes: formatBytes(l1Bytes) }), eviction },
    compressAbove: formatBytes(definition.compressAbove),
    tagsMax: definition.tagsMax,
    prefix: definition.prefix,
    ...(embedding === undefined ? {} : { embedding: shownEmbedding(embedding) }),
    ...(origin === undefined ? {} : { origin: originJson(origin) }),
  };
}

function changed(cache: CacheDefinition, options: z.infer<typeof CACHE>): CacheDefinition {
  return {
    name: cache.name,
    enabled: options.enabled ?? cache.enabled,
    ttlMs: options.ttl ?? cache.ttlMs,
    staleWhileRevalidateMs: options.staleWhileRevalidate ?? cache.staleWhileRevalidateMs,
    staleIfErrorMs: options.staleIfError ?? cache.staleIfErrorMs,
    negativeTtlMs: options.negativeTtl ?? cache.negativeTtlMs,
    leaseMs: options.leaseTime ?? cache.leaseMs,
    l1Bytes: options.l1?.bytes ?? cache.l1Bytes,
    eviction: options.l1?.eviction ?? cache.eviction,
    compressAbove: options.compressAbove ?? cache.compressAbove,
    tagsMax: options.tagsMax ?? cache.tagsMax,
    prefix: options.prefix ?? cache.prefix,
    embedding: options.embedding === undefined ? cache.embedding : embeddingOf(options.embedding),
    origin: options.origin ?? cache.origin,
  };
}

function embeddingOf({ dimensions, storage, metric }: EmbeddingOptions): EmbeddingFormat {
  return { dimensions, packing: storage ?? 'float32', metric: metric ?? METRIC_STANDARD };
}

function shownEmbedding({ dimensions, packing, metric }: EmbeddingFormat): EmbeddingOptions {
  return { dimensions, storage: packing, metric };
}

function cacheNameProblem(name: string): string | undefined {
  const { nameLength } = CACHE_LIMITS;
  if (name.length > nameLength) return `has a name of ${name.length} characters, ${nameLength} are allowed`;
  const problem = nameProblem(name);
  return problem === undefined ? undefined : `has a name that ${problem}`;
}

function bytesOf(path: string): Uint8Array {
  try {
    const { size: bytes } = statSync(path);
    if (bytes <= DEFINITIONS_FILE_BYTES_MAX) return readFileSync(path);
    throw new Error(`has ${bytes} bytes, ${DEFINITIONS_FILE_BYTES_MAX} are allowed`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DefinitionsFileError(`${path}: the file cannot be read: ${reason}`);
  }
}

function jsonOf(bytes: Uint8Array, where: string): JsonValue {
  try {
    return readText(new JsonReader(), bytes);
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    throw new DefinitionsFileError(`${where}: ${error.message}`);
  }
}

/** As zod wants it: objects, but for the Maps of caches and events. */
function fileForm(value: JsonValue): unknown {
  if (!(value instanceof Map)) return plainTree(value);
  const form = new Map<string, unknown>(value);
  for (const [name, member] of value) {
    const isNamed = member instanceof Map && (name === 'caches' || name === 'events');
    form.set(
      name,
      isNamed ? new Map([...member].map(([key, of]) => [key, plainTree(of)])) : plainTree(member),
    );
  }
  return plainObject(form);
}

function plainTree(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map(plainTree);
  if (!(value instanceof Map)) return value;
  return plainObject(new Map([...value].map(([key, member]) => [key, plainTree(member)])));
}
