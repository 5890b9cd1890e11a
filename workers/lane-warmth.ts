/**
 * A warm restart, as one lane has its part in it: which of its keys are hot is saved every minute and at its end, and
 * read again after a start, once the front is ready.
 */
import { setImmediate as nextTurn, setTimeout as rest } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { Caches } from '../src/l1/caches.js';
import type { TableWriter } from '../src/l1/table-writer.js';
import type { LaneNotice } from '../src/lanes/messages.js';
import { isShared, type LaneWorkerData } from '../src/resolve/lane-worker-data.js';
import { HotKeySaver } from '../src/resolve/warm-save.js';
import { Warming, type WarmingParts } from '../src/resolve/warm-start.js';
import type { LmdbHotKeys } from '../src/tiers/lmdb-hot-keys.js';

const SAVE_MS = 60_000;
/** At the end; the front waits 5 s for a lane to close. */
const SAVE_MS_MAX = 2_000;
/** For what is being read. */
const STOP_MS_MAX = 1_000;
/** Where nobody tells of changes, copies live so long at least for warming to be of use. */
const STALE_MS_MIN = 60_000;

interface LaneParts {
  readonly data: LaneWorkerData;
  readonly lane: number;
  readonly lanes: number;
  readonly writer: TableWriter;
  readonly hotKeys: LmdbHotKeys;
}

export type ReadingParts = Pick<
  WarmingParts,
  'views' | 'cache' | 'chain' | 'coherence' | 'negative' | 'inspector' | 'clock'
>;

export interface Warmth {
  /** Begins to read, in the background; to be called when the server is ready. Once is enough. */
  begin(): void;
  close(): Promise<void>;
}

export function openWarmth(
  lane: LaneParts,
  reading: ReadingParts,
  notify: (message: string) => void,
): Warmth {
  const { data, writer, hotKeys } = lane;
  const { hotKeysMax, shared } = data;
  const { views } = reading;
  const isTold = areChangesTold(data);
  const isWhole = wholeOf(data, reading);
  let state: 'cold' | 'warming' | 'warm' = 'cold';
  let warming: Warming | undefined;
  let reader: Promise<void> | undefined;
  let isClosed = false;

  const saver = new HotKeySaver({
    scan: () => writer.hotKeys(hotKeysMax),
    list: hotKeys,
    views,
    isSettled: () => state === 'warm' && isWhole(),
    pause: nextTurn,
    onError: error => notify(`the hot keys were not saved: ${messageOf(error)}`),
  });
  const saving = setInterval(() => hotKeysMax > 0 && void saver.save(), SAVE_MS).unref();

  const read = async () => {
    const lists = await hotKeys.read(nextTurn);
    if (lists.damaged > 0) notify(`of the list of hot keys, ${lists.damaged} parts are damaged and ignored`);
    if (isClosed) return;
    warming = warmingOf(lane, reading, {
      lists,
      rate: data.warmRate / lane.lanes,
      onProgress: progress => tell({ kind: 'warming', ...progress }),
    });
    tell({ kind: 'warming', ...warming.progress });
    const end = await warming.run();
    tell({ kind: 'warming', ...warming.progress, end });
    if (end !== 'stopped') state = 'warm';
  };
  return {
    begin() {
      if (state !== 'cold') return;
      const isOfUse = data.warmRate > 0 && (isTold || shared.staleMaxMs >= STALE_MS_MIN);
      state = isOfUse ? 'warming' : 'warm';
      if (!isOfUse) return tell({ kind: 'warming', done: 0, of: 0, added: 0, end: 'off' });
      reader = read().catch(error => {
        state = 'warm';
        notify(`the hot keys cannot be read: ${messageOf(error)}`);
        tell({ kind: 'warming', done: 0, of: 0, added: 0, end: 'failed' });
      });
    },
    async close() {
      isClosed = true;
      clearInterval(saving);
      warming?.stop();
      await Promise.race([reader, rest(STOP_MS_MAX, undefined, { ref: false })]);
      if (hotKeysMax > 0) await saver.close(SAVE_MS_MAX);
    },
  };
}

/** Of these keys, in this order. */
export function warmingOf(
  { data, lane, lanes }: Pick<LaneParts, 'data' | 'lane' | 'lanes'>,
  reading: ReadingParts,
  keys: Pick<WarmingParts, 'lists' | 'rate' | 'onProgress'>,
): Warming {
  const caches = new Caches(data.table);
  return new Warming({
    ...reading,
    ...keys,
    lane,
    lanes,
    isWhole: wholeOf(data, reading),
    epoch: () => reading.views.list().reduce((sum, { view }) => sum + caches.epoch(view.slot), 0),
    pause: nextTurn,
    rest: ms => rest(ms, undefined, { ref: false }),
  });
}

function areChangesTold({ shared }: LaneWorkerData): boolean {
  return !isShared(shared) || shared.redisUrl !== '';
}

/** Whether what is read now may be kept for long. */
function wholeOf(data: LaneWorkerData, { coherence }: ReadingParts): () => boolean {
  const isTold = areChangesTold(data);
  return () => !isTold || coherence.isWhole;
}

function tell(notice: LaneNotice): void {
  parentPort?.postMessage(notice);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
