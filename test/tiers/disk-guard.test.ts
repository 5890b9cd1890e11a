import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.js';
import { DiskGuard } from '../../src/tiers/disk-guard.js';

const MIB = 1024 * 1024;

function guarded(freeMib: number) {
  const clock = new ManualClock();
  const disk = { free: freeMib * MIB, asked: 0 };
  const freeBytes = () => {
    disk.asked++;
    return disk.free;
  };
  return {
    clock,
    disk,
    guard: new DiskGuard({ directory: tmpdir(), clock, freeBytesMin: 10 * MIB, freeBytes }),
  };
}

it('asks now and then, not every time', () => {
  const { guard, clock, disk } = guarded(1_000);
  for (let call = 0; call < 100; call++) guard.check(1_000);
  expect(disk.asked).toBe(1);
  clock.advance(250);
  guard.check(1_000);
  expect(disk.asked).toBe(2);
  for (let call = 0; call < 16; call++) guard.check(MIB);
  expect(disk.asked).toBe(3);
});

it('asks each time when little is left', () => {
  const { guard, disk } = guarded(15);
  for (let call = 0; call < 5; call++) guard.check(1);
  expect(disk.asked).toBe(5);
  disk.free = 9 * MIB;
  expect(() => guard.check(1)).toThrow(expect.objectContaining({ code: 'disk-full' }));
  disk.free = 11 * MIB;
  expect(() => guard.check(1)).not.toThrow();
});

it('refuses a batch that is larger than what is free', () => {
  const { guard } = guarded(100);
  expect(() => guard.check(101 * MIB)).toThrow(/100 MiB are free .* 101 MiB are needed; nothing was written/);
});

it('asks the real file system', () => {
  const guard = new DiskGuard({ directory: tmpdir(), clock: systemClock, freeBytesMin: 1 });
  expect(() => guard.check(1)).not.toThrow();
  expect(() => guard.check(2 ** 60)).toThrow(expect.objectContaining({ code: 'disk-full' }));
});
