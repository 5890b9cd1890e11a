/** How far the lanes have come with warming, put together from what each says. */
import { expect, test } from 'vitest';
import { WarmingProgress, type WarmingReport } from '../../src/lanes/warming.js';

function open(lanes: number) {
  const reports: WarmingReport[] = [];
  const clock = { nowMs: 1_000 };
  const progress = new WarmingProgress(
    lanes,
    report => reports.push(report),
    () => clock.nowMs,
  );
  const say = (lane: number, done: number, added: number, end?: string) =>
    progress.take({ kind: 'warming', lane, done, of: 100, added, ...(end === undefined ? {} : { end }) });
  return { progress, reports, clock, say };
}

test('sums what the lanes say, from the first to the last', () => {
  const { progress, reports, clock, say } = open(2);
  expect(progress.current).toBeUndefined();
  say(0, 0, 0);
  expect(progress.current).toEqual({ done: 0, of: 100 });
  expect(reports).toEqual([{ kind: 'begun', of: 100 }]);
  say(1, 20, 15);
  say(0, 30, 30);
  expect(progress.current).toEqual({ done: 50, of: 100 });
  say(0, 55, 50, 'done');
  expect(progress.current).toEqual({ done: 75, of: 100 });
  clock.nowMs += 700;
  say(1, 45, 40, 'full');
  expect(progress.current).toBeUndefined();
  const ended = { kind: 'ended', of: 100, added: 90, tookMs: 700, ends: ['done', 'full'] };
  expect(reports.slice(1)).toEqual([ended]);
  // What comes late is not told again.
  say(1, 45, 40, 'done');
  expect(reports.length).toBe(2);
});

test('does not wait for a lane that died', () => {
  const { progress, reports, say } = open(2);
  say(0, 10, 10);
  progress.take({ kind: 'down', lane: 1, reason: 'a test' });
  expect(progress.current).toEqual({ done: 10, of: 100 });
  say(0, 50, 50, 'done');
  expect(progress.current).toBeUndefined();
  expect(reports.at(-1)).toMatchObject({ kind: 'ended', added: 50, ends: ['done', 'died'] });
});

test('says nothing where there is nothing to read', () => {
  const { progress, reports } = open(1);
  progress.take({ kind: 'warming', lane: 0, done: 0, of: 0, added: 0, end: 'off' });
  expect(progress.current).toBeUndefined();
  expect(reports).toEqual([]);
});
