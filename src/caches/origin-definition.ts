/**
 * The HTTP origin of a named cache: what the configuration file says of it, its limits and defaults, and the checks that
 * no origin comes past. `url` is asked for one key, `batchUrl` for several; where there is one of them alone, it is asked
 * for both.
 */
import * as z from 'zod';
import { formatBytes } from '../base/bytes.js';
import { formatDuration } from '../base/duration.js';
import { parseAddressRule } from '../base/origin-address.js';
import { isBatchTarget, parseOriginPlace } from '../base/origin-url.js';
import { duration, size } from '../base/zod-json.js';
import { ENTRY_LIMITS } from './entry.js';

export interface OriginDefinition {
  /** With `{key}` in it. */
  readonly url: string | undefined;
  /** Without. */
  readonly batchUrl: string | undefined;
  readonly allowHosts: readonly string[];
  /** Ranges of addresses that may be connected to though they are not public. */
  readonly allowPrivate: readonly string[];
  /** Of one attempt, its waiting for a connection included. */
  readonly timeoutMs: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** Of each lane. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly keepAliveMs: number;
  /** Of one value. */
  readonly bytesMax: number;
  /** How long a batch waits for more keys. */
  readonly batchWaitMs: number;
  /** Keys of a batch. */
  readonly batchMax: number;
  /** Keys that a lane asks for at one time, those that wait for a connection included. */
  readonly waitingMax: number;
}

/** What an origin is of which only the place is said. */
const STANDARD: Omit<OriginDefinition, 'url' | 'batchUrl' | 'allowHosts' | 'allowPrivate'> = {
  timeoutMs: 5_000,
  retries: 3,
  connections: 10,
  connectTimeoutMs: 30_000,
  keepAliveMs: 90_000,
  bytesMax: ENTRY_LIMITS.payloadBytes,
  batchWaitMs: 2,
  batchMax: 100,
  waitingMax: 10_000,
};

const NAMES_MAX = 64;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const GIVEN = z.strictObject({
  url: z.string().optional(),
  batchUrl: z.string().optional(),
  allowHosts: z.array(z.string()).max(NAMES_MAX),
  allowPrivate: z.array(z.string()).max(NAMES_MAX).optional(),
  timeout: duration(1, 10 * MINUTE).optional(),
  retries: z.int().min(0).max(3).optional(),
  connections: z.int().min(1).max(1_000).optional(),
  connectTimeout: duration(1, 10 * MINUTE).optional(),
  keepAlive: duration(1, 10 * MINUTE).optional(),
  bytesMax: size(1, ENTRY_LIMITS.payloadBytes).optional(),
  batchWait: duration(0, 10 * SECOND).optional(),
  batchMax: z.int().min(1).max(1_000).optional(),
  waitingMax: z.int().min(1).max(100_000).optional(),
});

type Given = z.infer<typeof GIVEN>;

/** In the configuration file. */
export const ORIGIN = GIVEN.superRefine((given, context) => {
  for (const { at, detail } of problemsIn(given))
    context.addIssue({ code: 'custom', path: at === '' ? [] : [at], message: detail });
}).transform(
  (given): OriginDefinition => ({
    url: given.url,
    batchUrl: given.batchUrl,
    allowHosts: given.allowHosts,
    allowPrivate: given.allowPrivate ?? [],
    timeoutMs: given.timeout ?? STANDARD.timeoutMs,
    retries: given.retries ?? STANDARD.retries,
    connections: given.connections ?? STANDARD.connections,
    connectTimeoutMs: given.connectTimeout ?? STANDARD.connectTimeoutMs,
    keepAliveMs: given.keepAlive ?? STANDARD.keepAliveMs,
    bytesMax: given.bytesMax ?? STANDARD.bytesMax,
    batchWaitMs: given.batchWait ?? STANDARD.batchWaitMs,
    batchMax: given.batchMax ?? STANDARD.batchMax,
    waitingMax: given.waitingMax ?? STANDARD.waitingMax,
  }),
);

function problemsIn({ url, batchUrl, allowHosts, allowPrivate = [] }: Given) {
  const rule = parseAddressRule(allowPrivate);
  if (typeof rule === 'string') return [{ at: 'allowPrivate', detail: rule }];
  if (url === undefined && batchUrl === undefined) return [{ at: '', detail: 'needs a url or a batchUrl' }];
  const problemOf = (place: string, isBatch: boolean) => {
    const target = parseOriginPlace({ url: place, hosts: allowHosts, addresses: allowPrivate });
    if (typeof target === 'string') return target;
    if (isBatchTarget(target) === isBatch) return undefined;
    return isBatch ? 'must be without {key}: the keys are in the body' : 'must have {key} where the key goes';
  };
  const problems = [
    { at: 'url', detail: url === undefined ? undefined : problemOf(url, false) },
    { at: 'batchUrl', detail: batchUrl === undefined ? undefined : problemOf(batchUrl, true) },
  ];
  return problems.flatMap(({ at, detail }) => (detail === undefined ? [] : [{ at, detail }]));
}

/** For clients, who need not know what the queries have: it may be a secret. */
export function withoutQueries(origin: OriginDefinition): OriginDefinition {
  const shown = (url: string | undefined) => url?.replace(/\?.*$/s, '?…');
  return { ...origin, url: shown(origin.url), batchUrl: shown(origin.batchUrl) };
}

/** As the file has it, with all that it leaves open. */
export function originJson(origin: OriginDefinition): Readonly<Record<string, unknown>> {
  const { url, batchUrl } = origin;
  return {
    ...(url === undefined ? {} : { url }),
    ...(batchUrl === undefined ? {} : { batchUrl }),
    allowHosts: origin.allowHosts,
    allowPrivate: origin.allowPrivate,
    timeout: formatDuration(origin.timeoutMs),
    retries: origin.retries,
    connections: origin.connections,
    connectTimeout: formatDuration(origin.connectTimeoutMs),
    keepAlive: formatDuration(origin.keepAliveMs),
    bytesMax: formatBytes(origin.bytesMax),
    batchWait: formatDuration(origin.batchWaitMs),
    batchMax: origin.batchMax,
    waitingMax: origin.waitingMax,
  };
}
