/** What `headrace doctor` finds about a tier, and how each check is asked: within a time, every failure named. */

const STATUSES = ['ok', 'warning', 'problem'] as const;

export type CheckStatus = (typeof STATUSES)[number];

export interface Verdict {
  readonly status: CheckStatus;
  /** What is the case. */
  readonly says: string;
  /** What to change, a line for each step; there is something whenever the status is not ok. */
  readonly change?: string;
}

export interface Finding extends Verdict {
  /** What was looked at: `redis`, `data directory`, … */
  readonly part: string;
  readonly check: string;
}

export function ok(says: string): Verdict {
  return { status: 'ok', says };
}

export function warning(says: string, change: string): Verdict {
  return { status: 'warning', says, change };
}

export function problem(says: string, change: string): Verdict {
  return { status: 'problem', says, change };
}

/** The findings about one part, in the order of the checks. */
export class Checklist {
  readonly findings: Finding[] = [];
  readonly limitMs: number;
  readonly #part: string;

  /** `limitMs` is for each check. */
  constructor(part: string, limitMs: number) {
    this.#part = part;
    this.limitMs = limitMs;
  }

  /**
   * Adds what `ask` finds; what it throws, and that it does not end in time, are problems. `change` is for those.
   * Resolves to whether there is no problem.
   */
  async check(name: string, change: string, ask: () => Verdict | Promise<Verdict>): Promise<boolean> {
    let verdict: Verdict;
    try {
      verdict = await within(this.limitMs, async () => ask());
    } catch (error) {
      verdict = problem(error instanceof Error ? error.message : String(error), change);
    }
    // Messages of servers can have several lines.
    const says = verdict.says.trim().replace(/\s*\n\s*/g, ' ');
    this.findings.push({ part: this.#part, check: name, ...verdict, says });
    return verdict.status !== 'problem';
  }
}

/** @throws Error when the work does not end in time; whatever it does after that is ignored. */
async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `it hangs: no answer within ${limitMs / 1000} s`;
    timer = setTimeout(() => reject(new Error(message)), limitMs);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One verdict for several servers: the worst, with the names of those it is about. */
export function worstOf(verdicts: readonly (readonly [server: string, Verdict])[]): Verdict {
  const rank = Math.max(0, ...verdicts.map(([, { status }]) => STATUSES.indexOf(status)));
  const worst = verdicts.filter(([, { status }]) => STATUSES.indexOf(status) === rank);
  const servers = new Map<string, string[]>();
  for (const [server, { says }] of worst) servers.set(says, [...(servers.get(says) ?? []), server]);
  const says = [...servers].map(([text, names]) => {
    if (verdicts.length === 1) return text;
    return `${text} (${names.length === verdicts.length ? `each of ${names.length} servers` : names.join(', ')})`;
  });
  const changes = new Set(worst.flatMap(([, { change }]) => change ?? []));
  const status = STATUSES[rank] ?? 'problem';
  return { status, says: says.join('; '), ...(changes.size > 0 && { change: [...changes].join('\n') }) };
}

const PINGS = 20;

export interface LatencyOptions {
  /** What clients of the servers are configured to wait, and the option that says so. */
  readonly timeoutMs: number;
  readonly option: string;
  /** Pings take no longer than this together. */
  readonly limitMs: number;
}

/** Asks each server `PINGS` times, one after the other, all servers beside each other. Tells of the slowest. */
export async function judgeLatency(
  servers: readonly (readonly [server: string, ping: () => Promise<unknown>])[],
  { timeoutMs, option, limitMs }: LatencyOptions,
): Promise<Verdict> {
  const measured = await Promise.all(
    servers.map(async ([server, ping]) => ({ server, ...(await latencyOf(ping, limitMs)) })),
  );
  const p50 = Math.max(...measured.map(({ p50Ms }) => p50Ms));
  const max = Math.max(...measured.map(({ maxMs }) => maxMs));
  const slowest = measured.find(({ p50Ms }) => p50Ms === p50)?.server;
  const where = servers.length === 1 ? '' : ` (slowest of ${servers.length} servers: ${slowest})`;
  const count = Math.min(...measured.map(({ pings }) => pings));
  const says = `${count} pings: p50 ${p50.toFixed(2)} ms, at most ${max.toFixed(2)} ms${where}`;
  const near = 'move the servers nearer to each other, or see what else keeps this one busy';
  if (max >= timeoutMs) {
    return warning(`${says}; ${option} is ${timeoutMs}ms`, `${near}; or raise ${option}`);
  }
  return p50 * 10 > timeoutMs ? warning(`${says}; each miss of memory waits so long`, near) : ok(says);
}

async function latencyOf(
  ping: () => Promise<unknown>,
  limitMs: number,
): Promise<{ pings: number; p50Ms: number; maxMs: number }> {
  const tookMs: number[] = [];
  const began = performance.now();
  while (tookMs.length < PINGS && performance.now() - began < limitMs) {
    const sent = performance.now();
    await ping();
    tookMs.push(performance.now() - sent);
  }
  tookMs.sort((a, b) => a - b);
  const p50Ms = tookMs[Math.floor(tookMs.length / 2)] ?? 0;
  return { pings: tookMs.length, p50Ms, maxMs: tookMs.at(-1) ?? 0 };
}
