/**
 * CPU time and memory of another process, from Linux's /proc. `undefined` where there is none to read: benchmarks then
 * go without these figures.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, fixed for user space on every Linux that Node runs on. */
const TICK_US = 10_000;

/** User and system time of all threads, in microseconds. */
export function cpuMicros(pid: number): number | undefined {
  return cpuMicrosOfThreads(pid) ?? cpuMicrosInTicks(pid);
}

/** To the nanosecond, but without threads that have ended. */
function cpuMicrosOfThreads(pid: number): number | undefined {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0]);
    }
    return nanoseconds > 0 ? nanoseconds / 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** To ten milliseconds. */
function cpuMicrosInTicks(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the command in parentheses and may hold blanks: count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_US;
  } catch {
    return undefined;
  }
}

/** Anonymous and shared memory that is resident, in bytes: what a process holds beside mapped files. */
export function memoryBytes(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const kilobytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(status)?.[1] ?? 0);
    return (kilobytes('RssAnon') + kilobytes('RssShmem')) * 1024;
  } catch {
    return undefined;
  }
}
