/** Caches that are warmed by a list, in a lane: in its order, at its rate, only what is needed, and never for ever. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.js';
import { HeadraceError } from '../../src/base/errors.js';
import { storageKey } from '../../src/base/keys.js';
import { CACHE_STANDARD, type CacheDefinition } from '../../src/caches/definition.js';
import { entryViewOf } from '../../src/caches/entry-view.js';
import { ORIGIN } from '../../src/caches/origin-definition.js';
import { WARM } from '../../src/caches/warm-definition.js';
import { ListCounters, listCounterMemory } from '../../src/observe/list-counters.js';
import { OriginCounters, originCounterMemory } from '../../src/observe/origin-counters.js';
import { ListWarming } from '../../src/resolve/list-warming.js';
import { OriginFlights } from '../../src/resolve/origin-flights.js';
import { type Outcome, ReadThrough } from '../../src/resolve/read-through.js';
import { Warming } from '../../src/resolve/warm-start.js';
import { laneOver, MapTier, VIEW } from './fixture.js';

const AT_ORIGIN = { url: 'http://search/q?q={key}', allowHosts: ['search'] };
const STANDARD = { ...CACHE_STANDARD, name: 'c', ttlMs: 60_000 };
const { name, features } = entryViewOf(STANDARD);
const CACHE = { ...VIEW, name, uid: 9, features: [...features] };
const EVERY_MS = 10_000;

function open(text: string, options: { origin?: object; rate?: number; keysMax?: number } = {}) {
  const { origin, rate = 1_000, keysMax = 100 } = options;
  const warm = WARM.parse({ file: 'list', every: '10s', rate, keysMax });
  const cache: CacheDefinition = { ...STANDARD, warm, origin: origin && ORIGIN.parse(origin) };
  const clock = new ManualClock();
  const flights = new OriginFlights<Outcome>(1_000, clock);
  const tier = new MapTier();
  const lane = { ...laneOver([tier], false, [flights], clock), flights };
  lane.views.declare(CACHE);
  const asked: [key: string, atMs: number][] = [];
  const scene = { text, isOn: true, isWell: true, during: () => {} };
  const fetch = async (key: string) => {
    asked.push([key, clock.now()]);
    scene.during();
    if (!scene.isWell) throw new HeadraceError('unavailable', 'it is away');
    const payload = Buffer.from(`of ${key}`);
    return { payload, contentType: 'text/plain', etag: '', cacheControl: '', cacheTags: '', ageMs: 0 };
  };
  const ofOrigin = {
    definition: cache,
    origin: { fetch, isRefusing: false },
    counters: new OriginCounters(originCounterMemory(1), 0),
  };
  const through = new ReadThrough({ ...lane, caches: new Map([[name, ofOrigin]]) });
  const notices: string[] = [];
  const rests: number[] = [];
  const counters = new ListCounters(listCounterMemory(1, 1), 0, 0, 1);
  const shared = {
    pause: async () => undefined,
    rest: async (ms: number) => {
      rests.push(ms);
      clock.advance(ms);
    },
  };
  const warming = new ListWarming({
    ...{ cache, warm, through, counters, clock, rate, ...shared },
    read: async () => Buffer.from(scene.text),
    viewOf: () => lane.views.find(9),
    table: lane.cache,
    loading: ({ view }, ids, onProgress) =>
      new Warming({
        ...lane,
        lists: {
          count: ids.length,
          entries: () => ids.map(id => ({ key: storageKey(view.uid, id), heat: 1 })),
        },
        ...{ lane: 0, lanes: 1, rate, isWhole: () => true, epoch: () => 0, onProgress, ...shared },
      }),
    isOn: () => scene.isOn,
    notify: message => notices.push(message),
  });
  const held = () => [...lane.cache.kept.keys()].map(key => key.slice(`${VIEW.slot}/`.length));
  return { ...lane, warming, scene, asked, notices, rests, counters, held, tier };
}

const keysFrom = (count: number) => Array.from({ length: count }, (_, n) => `key-${n}`);

test('the origin is asked in the order of the list, at its rate, and only for own keys', async () => {
  const keys = keysFrom(100);
  const { warming, asked, held, counters, clock } = open(['other-lane', ...keys, 'beyond'].join('\n'), {
    ...{ origin: AT_ORIGIN, rate: 100, keysMax: 101 },
  });
  const began = clock.now();
  await warming.round();
  expect(asked.map(([key]) => key)).toEqual(keys);
  expect(held()).toEqual(keys);
  // All but the last step are waited for; half of the ten connections are a step.
  expect(clock.now() - began).toBeCloseTo(950, -1);
  expect(counters.read()).toEqual({ keys: 100, loaded: 0, fetched: 100, failed: 0, wrong: 0, left: 5 });
});

test('what will not be fresh until the next time is made anew, and nothing else', async () => {
  const { warming, asked, clock, counters } = open('a\nb', { origin: AT_ORIGIN });
  await warming.round();
  clock.advance(30_000);
  await warming.round();
  expect(asked.length).toBe(2);
  // 60 s less 49.5 s are less than an interval and a tenth.
  clock.advance(19_500);
  await warming.round();
  expect(asked.map(([key]) => key)).toEqual(['a', 'b', 'a', 'b']);
  expect(counters.read()).toMatchObject({ keys: 6, fetched: 4, failed: 0 });
});

test('an origin that fails is not asked for all of the list, and again the next time', async () => {
  const { warming, asked, scene, notices, counters, rests } = open(keysFrom(100).join('\n'), {
    origin: { ...AT_ORIGIN, connections: 1 },
  });
  scene.isWell = false;
  const end = () => {
    if (asked.length < 10) return;
    scene.during = () => warming.stop();
    scene.isWell = true;
  };
  scene.during = () => queueMicrotask(end);
  await warming.run();
  expect(notices[0]).toBe('the list of the cache c: of 100 keys, 0 read, 0 fetched, 10 failed: it is away');
  expect(asked.length).toBe(11);
  expect(counters.read()).toMatchObject({ keys: 11, fetched: 1, failed: 10, left: 0 });
  expect(rests.at(-1)).toBeLessThanOrEqual(EVERY_MS);
  expect(rests.some(ms => ms > EVERY_MS - 1_000)).toBe(true);
});

test('a batch endpoint is asked for many at once', async () => {
  const { warming, scene } = open(keysFrom(100).join('\n'), {
    origin: { batchUrl: 'http://search/batch', allowHosts: ['search'], batchMax: 40 },
  });
  let atOnce = 0;
  const most: number[] = [];
  scene.during = () => {
    if (++atOnce > 1) return;
    queueMicrotask(() => {
      most.push(atOnce);
      atOnce = 0;
    });
  };
  await warming.round();
  expect(most).toEqual([40, 40, 20]);
});

test('without an origin, what the tiers have is read into memory', async () => {
  const { warming, writes, cache, held, counters, asked } = open('a\nb\nnone');
  const head = {
    contentType: 'text/plain',
    tags: [],
    freshMs: 1e6,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
  };
  const place = { viewUid: 9, start: 0, end: 3, deadlineMs: Number.MAX_SAFE_INTEGER };
  const ops = ['a', 'b', 'c'].map(id => ({ kind: 'put-entry' as const, ...place, id, head }));
  await writes.write(ops, Buffer.from('abc'));
  cache.kept.clear();
  await warming.round();
  expect(held()).toEqual(['a', 'b']);
  await warming.round();
  expect(counters.read()).toEqual({ keys: 6, loaded: 2, fetched: 0, failed: 0, wrong: 0, left: 0 });
  expect(asked).toEqual([]);
});

test('a cache that is switched off is left alone, also in the middle of its list', async () => {
  const { warming, scene, asked } = open(keysFrom(20).join('\n'), { origin: AT_ORIGIN });
  scene.isOn = false;
  await warming.round();
  expect(asked).toEqual([]);
  scene.isOn = true;
  scene.during = () => {
    scene.isOn = false;
  };
  await warming.round();
  expect(asked.length).toBe(5);
});

test('a list with lines that are no keys is told of, and one that changes is read anew', async () => {
  const { warming, scene, notices, counters, held } = open('a\n{"key":1}\nb', { origin: AT_ORIGIN });
  await warming.round();
  expect(notices[0]).toMatch(/^in the list of the cache c, lines are no keys: 1; line 2: /);
  expect(notices[1]).toBe('the list of the cache c: of 2 keys, 0 read, 2 fetched');
  await warming.round();
  scene.text = 'c';
  await warming.round();
  // The same line is told of once.
  expect(notices.length).toBe(3);
  expect(held()).toEqual(['a', 'b', 'c']);
  expect(counters.read()).toMatchObject({ keys: 5, wrong: 2 });
});
