/** The origins of named caches, as a lane asks them: each with a pool of its own, behind the breaker that lanes share. */
import { assert } from '../src/base/assert.js';
import type { Clock } from '../src/base/clock.js';
import { type OriginTarget, parseOriginPlace } from '../src/base/origin-url.js';
import type { CacheDefinition } from '../src/caches/definition.js';
import { storedEntry } from '../src/caches/embeddings/stored-entry.js';
import { entryViewName } from '../src/caches/entry-view.js';
import type { OriginDefinition } from '../src/caches/origin-definition.js';
import { OriginCounters } from '../src/observe/origin-counters.js';
import { Breaker } from '../src/resolve/breaker.js';
import type { LaneWorkerData } from '../src/resolve/lane-worker-data.js';
import { GuardedOrigin } from '../src/resolve/origin-guard.js';
import type { OriginCache } from '../src/resolve/read-through.js';
import { ORIGIN_DEFAULTS, Origin } from '../src/tiers/origin.js';
import type { OriginValue } from '../src/tiers/origin-value.js';
import type { LaneTiersOptions } from './lane-store.js';

export interface LaneOrigins {
  /** By the name of the view that holds the entries. */
  readonly caches: ReadonlyMap<string, OriginCache>;
  close(): Promise<void>;
}

/** The body of an answer to a batch. */
const BATCH_BYTES_MAX = 64 * 2 ** 20;
/** Beside what attempts and pauses may take together. */
const SPARE_MS = 1_000;

export function openOrigins(
  { origins, shared }: Pick<LaneWorkerData, 'origins' | 'shared'>,
  clock: Clock,
  notify: LaneTiersOptions['notify'],
): LaneOrigins {
  const opened = origins.caches.flatMap((definition, index) => {
    if (definition.origin === undefined) return [];
    const name = `the origin of the cache ${definition.name}`;
    const questionMsMax = questionMs(definition.origin);
    const counters = new OriginCounters(origins.counters, index);
    const breaker = new Breaker({
      tier: name,
      memory: origins.breakers,
      index,
      clock,
      options: { ...shared.breaker, probeMsMax: 2 * questionMsMax },
      onChange: ({ tier, from, to }) =>
        notify(`the circuit breaker of ${tier} was ${from} and is ${to}`, to === 'open' ? 'warn' : 'info'),
    });
    const { bytesMax } = definition.origin;
    const pools = originsOf(definition.origin);
    const keptOf = (value: OriginValue) => keptValue(definition, value);
    const limits = { questionMsMax, bytesMax };
    const origin = new GuardedOrigin({ name, ...pools, breaker, counters, clock, ...limits, keptOf });
    return [{ definition, origin, counters }];
  });
  return {
    caches: new Map(opened.map(cache => [entryViewName(cache.definition.name), cache])),
    async close() {
      await Promise.all(opened.map(({ origin }) => origin.close()));
    },
  };
}

/** Of a cache of embeddings, the vector as it is stored, whose ETag is not that of the origin's bytes. */
function keptValue(definition: CacheDefinition, value: OriginValue): OriginValue {
  if (definition.embedding === undefined) return value;
  const { head, payload } = storedEntry(definition, value, value.payload);
  return { ...head, payload, etag: '' };
}

function originsOf(definition: OriginDefinition): { readonly single: Origin; readonly several: Origin } {
  const { url, batchUrl, bytesMax, batchMax } = definition;
  const batchBytesMax = Math.min(BATCH_BYTES_MAX, bytesMax * batchMax);
  const one = url === undefined ? undefined : originAt(url, definition, bytesMax);
  const batch = batchUrl === undefined ? undefined : originAt(batchUrl, definition, batchBytesMax);
  const [single, several] = [one ?? batch, batch ?? one];
  assert(single !== undefined && several !== undefined, 'an origin has a url or a batchUrl');
  return { single, several };
}

function originAt(url: string, definition: OriginDefinition, responseBytesMax: number): Origin {
  const { connections, keepAliveMs, connectTimeoutMs, timeoutMs, retries, waitingMax } = definition;
  const { exchange, batch } = ORIGIN_DEFAULTS;
  const pool = { ...exchange, connections, keepAliveMs, connectTimeoutMs, timeoutMs, retriesMax: retries };
  return new Origin(targetOf(url, definition), {
    exchange: { ...pool, responseBytesMax },
    batch: { ...batch, windowMs: definition.batchWaitMs, keysMax: definition.batchMax },
    waitingMax,
  });
}

function targetOf(url: string, { allowHosts, allowPrivate }: OriginDefinition): OriginTarget {
  const target = parseOriginPlace({ url, hosts: allowHosts, addresses: allowPrivate });
  assert(typeof target !== 'string', 'the configuration file was checked');
  return target;
}

/** Attempts, each with its time, pauses between them, and the wait for a batch. */
function questionMs({ timeoutMs, retries, batchWaitMs }: OriginDefinition): number {
  const { pauseMs } = ORIGIN_DEFAULTS.exchange;
  return (retries + 1) * timeoutMs + pauseMs * (2 ** retries - 1) + batchWaitMs + SPARE_MS;
}
