/** Figures and progress as a user reads them. */
import { describe, expect, it } from 'vitest';
import { grouped, rateText, timeLeftText, timeText } from '../../src/cli/figures.js';
import { plainProgress, progressText } from '../../src/cli/progress.js';

const HOUR = 3_600_000;

describe('figures', () => {
  it('group counts', () => {
    expect([0, 999, 1000, 1234567].map(grouped)).toEqual(['0', '999', '1,000', '1,234,567']);
  });

  it('tell rates in three digits', () => {
    expect(rateText(63_666, 2_100)).toBe('30,300/s');
    expect(rateText(5, 30_000)).toBe('0/s');
    expect(rateText(5_000, 0)).toBe('5,000,000/s');
  });

  it('tell times in the two units that matter', () => {
    expect([0, 213, 994, 995, 1_234, 9_949, 9_950, 59_499].map(timeText)).toEqual([
      '0.00 s',
      '0.21 s',
      '0.99 s',
      '1.0 s',
      '1.2 s',
      '9.9 s',
      '10 s',
      '59 s',
    ]);
    expect([59_500, 200_000, HOUR - 501, HOUR - 500, 1.5 * HOUR].map(timeText)).toEqual([
      '1 min 0 s',
      '3 min 20 s',
      '59 min 59 s',
      '1 h 0 min',
      '1 h 30 min',
    ]);
  });

  it('never tell less than a second to go', () => {
    expect([0, 1, 1_000, 1_001, 75_000].map(timeLeftText)).toEqual([
      '1 s',
      '1 s',
      '1 s',
      '2 s',
      '1 min 15 s',
    ]);
  });
});

describe('progress', () => {
  it('says how far, how many, how fast and how long', () => {
    const stage = { done: 420, total: 1_000, records: 12_345, tookMs: 1_200 };
    expect(progressText(stage)).toBe(' 42% | 12,345 records | 10,300/s | 2 s left');
  });

  it('says 100 % only at the end, and no time left then', () => {
    const stage = { done: 999, total: 1_000, records: 10, tookMs: 1_000 };
    expect(progressText(stage)).toBe(' 99% | 10 records | 10/s | 1 s left');
    expect(progressText({ ...stage, done: 1_000 })).toBe('100% | 10 records | 10/s');
    expect(progressText({ ...stage, done: 1_001 })).toBe('100% | 10 records | 10/s');
  });

  it('does without what is not known', () => {
    expect(progressText({ done: 0, total: 0, records: 10, tookMs: 1_000 })).toBe('10 records | 10/s');
    expect(progressText({ done: 0, total: 9, records: 0, tookMs: 0 })).toBe('  0% | 0 records | 0/s');
  });

  it('is a line every five seconds where there is no terminal', () => {
    const lines: string[] = [];
    let now = 0;
    const progress = plainProgress({ write: text => lines.push(text) }, () => now);
    for (now = 0; now <= 20_000; now += 500) progress.update(now, 40_000, now);
    progress.note('file: line 3: is wrong');
    progress.stop();
    expect(lines).toEqual([
      ' 12% | 5,000 records | 1,000/s | 35 s left\n',
      ' 25% | 10,000 records | 1,000/s | 30 s left\n',
      ' 37% | 15,000 records | 1,000/s | 25 s left\n',
      ' 50% | 20,000 records | 1,000/s | 20 s left\n',
      'file: line 3: is wrong\n',
    ]);
  });
});
