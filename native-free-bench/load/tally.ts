/**
 * What an open-loop run counted: latencies, errors by kind, hits, and the time in each stage where the server told it.
 */
import { build, type Histogram } from 'hdr-histogram-js';
import { STAGES, type Stage } from '../../src/observe/stages.js';
import type { ResponseHead } from './response-parser.js';

/** A request without a response: none within the time limit, or the connection broke. */
export type Failure = 'timeout' | 'broken';

const LATENCY_US_MAX = 120_000_000;
export const STAGE_UNITS_PER_US = 10;

export class Tally {
  /** Microseconds from the intended start to the last byte of the response. */
  readonly latencyUs = latencyHistogram();
  /** Microseconds from the intended start until the generator got to it: its own lateness, part of the latency. */
  readonly lagUs = latencyHistogram();
  /** Tenths of a microsecond, since a stage may be shorter than one. */
  readonly stages = new Map<Stage, Histogram>();

  arrivals = 0;
  responses = 0;
  bodyBytes = 0;
  /** Responses with a status of 400 or more. */
  refused = 0;
  timeouts = 0;
  broken = 0;
  /** Arrivals never sent: too many were waiting for a connection. */
  dropped = 0;
  hits = 0;
  misses = 0;

  get errors(): number {
    return this.refused + this.timeouts + this.broken + this.dropped;
  }

  get errorRate(): number {
    return this.arrivals === 0 ? 0 : this.errors / this.arrivals;
  }

  /** Of the reads whose response has a `Cache-Status`; `undefined` when there is none. */
  get hitRatio(): number | undefined {
    const told = this.hits + this.misses;
    return told === 0 ? undefined : this.hits / told;
  }

  lag(ms: number): void {
    this.lagUs.recordValue(microseconds(ms));
  }

  response(latencyMs: number, head: ResponseHead, isRead: boolean): void {
    this.responses += 1;
    this.bodyBytes += head.bodyBytes;
    this.latencyUs.recordValue(microseconds(latencyMs));
    if (head.status >= 400) this.refused += 1;
    if (isRead && head.cacheStatus !== '') {
      if (isHit(head.cacheStatus)) this.hits += 1;
      else this.misses += 1;
    }
    if (head.serverTiming !== '') this.#stagesFrom(head.serverTiming);
  }

  /** The time waited counts as a latency, or a server that stops answering would look fast. */
  failure(waitedMs: number, failure: Failure): void {
    this.latencyUs.recordValue(microseconds(waitedMs));
    if (failure === 'timeout') this.timeouts += 1;
    else this.broken += 1;
  }

  #stagesFrom(serverTiming: string): void {
    for (const { stage, ms } of stageTimes(serverTiming)) {
      let histogram = this.stages.get(stage);
      if (histogram === undefined) {
        histogram = latencyHistogram();
        this.stages.set(stage, histogram);
      }
      histogram.recordValue(microseconds(ms * STAGE_UNITS_PER_US));
    }
  }
}

/** Whether a `Cache-Status` (RFC 9211) says that the cache nearest to us had it. */
export function isHit(cacheStatus: string): boolean {
  const end = cacheStatus.indexOf(',');
  const first = end === -1 ? cacheStatus : cacheStatus.slice(0, end);
  return /;\s*hit\s*(;|$)/.test(first);
}

/** The known stages of a `Server-Timing` header with their durations. */
export function stageTimes(serverTiming: string): { stage: Stage; ms: number }[] {
  const times: { stage: Stage; ms: number }[] = [];
  for (const entry of serverTiming.split(',')) {
    const name = entry.split(';', 1)[0]?.trim();
    const stage = STAGES.find(known => known === name);
    const ms = Number(/;\s*dur=([0-9.]+)/.exec(entry)?.[1] ?? Number.NaN);
    if (stage !== undefined && !Number.isNaN(ms)) times.push({ stage, ms });
  }
  return times;
}

export function latencyHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3,
  });
}

function microseconds(ms: number): number {
  return Math.min(LATENCY_US_MAX, Math.max(0, Math.round(ms * 1000)));
}
