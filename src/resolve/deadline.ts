/** Work that nobody waits for any more is not begun. */
import type { Clock } from '../base/clock.js';
import { HeadraceError } from '../base/errors.js';

/** @throws HeadraceError `deadline` when an op's time has passed before it was begun. */
export function checkDeadline(deadlineMs: number, clock: Clock): void {
  if (clock.now() >= deadlineMs) {
    throw new HeadraceError('deadline', 'the deadline passed before the lane came to it; nothing was done');
  }
}
