/** The body of `PUT /v1/views/{view}` into a definition, and a view into its JSON. */
import * as z from 'zod';
import { parseBytes } from '../base/bytes.js';
import { DURATION_MS_MAX, formatDuration, parseDuration } from '../base/duration.js';
import { JsonReader } from '../base/json.js';
import { type JsonValue, readText } from '../base/json-value.js';
import { ProblemList } from '../base/problem-list.js';
import { parsed, plainObject, problemsOf } from '../base/zod-json.js';
import type { View, ViewDefinition } from './schema.js';
import { EVICTION_POLICIES, type FeatureType, parseFeatureType, VIEW_LIMITS } from './schema.js';

export const VIEW_BODY_LIMITS = {
  ttlMsMin: 1,
  ttlMsMax: DURATION_MS_MAX,
  l1BytesMin: 65_536,
  l1BytesMax: 2 ** 40,
  /** Of all embeddings together: 256 KiB a record. */
  embeddingNumbers: 65_536,
} as const;

const TTL_MS_DEFAULT = 3_600_000;
const TTL_MS_OF_USERS = 86_400_000;
const USERS: readonly string[] = ['user', 'users'];

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
/** Features may also be numbered, as those of learning-to-rank sets are. */
const FEATURE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** What is wrong with the name of a view or an entity, or `undefined`. */
export function nameProblem(name: string): string | undefined {
  return problemOfName(name, NAME, 'a letter or _', VIEW_LIMITS.nameLength);
}

/** What is wrong with the name of a feature, or `undefined`. */
export function featureNameProblem(name: string): string | undefined {
  return problemOfName(name, FEATURE_NAME, 'a letter, a digit or _', VIEW_LIMITS.featureNameLength);
}

function problemOfName(name: string, allowed: RegExp, first: string, lengthMax: number): string | undefined {
  if (name.length > lengthMax) return `has ${name.length} characters, ${lengthMax} are allowed`;
  return allowed.test(name)
    ? undefined
    : `must start with ${first}, then have letters, digits, _ . or - only`;
}

const TTL = parsed(text => parseDuration(text, VIEW_BODY_LIMITS.ttlMsMin, VIEW_BODY_LIMITS.ttlMsMax));
const L1_BYTES = z
  .union([z.number().transform(String), z.string()])
  .pipe(parsed(text => parseBytes(text, VIEW_BODY_LIMITS.l1BytesMin, VIEW_BODY_LIMITS.l1BytesMax)));

const ENTITY = z.string().superRefine((name, context) => {
  const problem = nameProblem(name);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

const FEATURES = z.map(z.string(), z.unknown()).transform((declared, context) => {
  const { features: countMax, embeddingLength } = VIEW_LIMITS;
  const features = new Map<string, FeatureType>();
  const issue = (message: string, ...path: string[]) => context.addIssue({ code: 'custom', message, path });
  if (declared.size === 0) issue('has no feature, at least one is wanted');
  if (declared.size > countMax) issue(`has ${declared.size} features, ${countMax} are allowed`);
  let numbers = 0;
  for (const [name, type] of declared) {
    const problem = featureNameProblem(name);
    if (problem !== undefined) issue(problem, name);
    const parsedType = typeof type === 'string' ? parseFeatureType(type) : undefined;
    if (parsedType !== undefined) {
      features.set(name, type as FeatureType);
      if (parsedType.kind === 'embedding') numbers += parsedType.length;
    } else {
      issue(
        `must be bool, int64, float32, float64, string, bytes or float32[1] to [${embeddingLength}]`,
        name,
      );
    }
  }
  const { embeddingNumbers: numbersMax } = VIEW_BODY_LIMITS;
  if (numbers > numbersMax) issue(`has embeddings of ${numbers} numbers, ${numbersMax} are allowed`);
  return features;
});

const BODY = z.strictObject({
  entity: ENTITY,
  ttl: TTL.optional(),
  features: FEATURES,
  l1: z
    .strictObject({ bytes: L1_BYTES.optional(), eviction: z.enum(EVICTION_POLICIES).optional() })
    .optional(),
});

/** @throws HeadraceError `bad-json`, or `invalid-view` that lists every problem with its place. */
export function readViewDefinition(body: Uint8Array): ViewDefinition {
  const value = readText(new JsonReader(), body);
  const result = BODY.safeParse(plainBody(value));
  if (!result.success) {
    const problems = new ProblemList();
    for (const { at, detail } of problemsOf(result.error)) problems.add(at || 'the body', detail);
    problems.throwIfAny('invalid-view');
    throw result.error;
  }
  const { entity, ttl, features, l1 } = result.data;
  return {
    entity,
    ttlMs: ttl ?? (USERS.includes(entity) ? TTL_MS_OF_USERS : TTL_MS_DEFAULT),
    features,
    l1Bytes: l1?.bytes,
    eviction: l1?.eviction ?? 's3-fifo',
  };
}

/** As the schema wants it: the objects with fixed keys as objects, the features as the Map that keeps their order. */
function plainBody(value: JsonValue): unknown {
  if (!(value instanceof Map)) return value;
  const l1 = value.get('l1');
  return plainObject(l1 instanceof Map ? new Map<string, unknown>(value).set('l1', plainObject(l1)) : value);
}

/** The view as `GET` shows it. Written by hand, since an object would move features named like "1" to the front. */
export function viewJson(view: View): string {
  const features = [...view.features].map(
    ([name, type]) => `${JSON.stringify(name)}:${JSON.stringify(type)}`,
  );
  const l1 = { ...(view.l1Bytes === undefined ? {} : { bytes: view.l1Bytes }), eviction: view.eviction };
  const name = JSON.stringify(view.name);
  const entity = JSON.stringify(view.entity);
  const ttl = formatDuration(view.ttlMs);
  return `{"view":${name},"entity":${entity},"ttl":"${ttl}","features":{${features.join(',')}},"schema":${view.schema},"l1":${JSON.stringify(l1)}}`;
}
