/** The end of a server, step by step, each within the time that is left. */
import { performance } from 'node:perf_hooks';
import type { Front } from './front/front.js';
import type { Log } from './observe/log.js';

/** Closes in the reverse order of opening. What hangs is left behind: everything acknowledged is on disk. */
export async function closed(
  closers: (() => Promise<void> | void)[],
  withinMs: number,
  log: Log,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>(resolve => {
    timer = setTimeout(() => resolve('the shutdown timeout passed while closing'), withinMs);
  });
  const all = (async () => {
    for (const close of closers.reverse()) await close();
    return '';
  })();
  const problem = await Promise.race([all, late]);
  clearTimeout(timer);
  if (problem !== '') log.warn(problem);
}

/** Waits for the requests in flight, bounded: those that are left then are cut off. */
export async function drained(front: Front, deadline: number, log: Log): Promise<void> {
  while (front.pending > 0 && performance.now() < deadline)
    await new Promise(resolve => setTimeout(resolve, 5));
  if (front.pending > 0)
    log.warn({ pending: front.pending }, 'requests were cut off by the shutdown timeout');
}
