/** What the configuration asks of the machine, or of the container's share of it: cores, memory, open files. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { formatBytes } from '../base/bytes.js';
import type { Config } from '../config.js';
import { Checklist, type Finding, ok, problem, type Verdict, warning } from '../tiers/tier-check.js';

/** What the process may use; tests give their own. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
  /** `undefined`: no limit is known. */
  readonly openFilesMax: number | undefined;
}

/** Measured with an empty table: 24 MiB, and 18 MiB a lane. Under load the heaps of the threads grow. */
const PROCESS_BYTES = 128 * 2 ** 20;
const LANE_BYTES = 64 * 2 ** 20;
/** Beside connections of clients: the store, logs, connections to Redis and MongoDB. */
const FILES_SPARE = 200;
const WASM_PAGE_BYTES = 65_536;

export async function checkMachine(
  config: Config,
  limitMs: number,
  machine: Machine = thisMachine(),
): Promise<readonly Finding[]> {
  const list = new Checklist('machine', limitMs);
  await list.check('cores', '', () => judgeCores(config, machine));
  await list.check('memory', '', () => judgeMemory(config, machine));
  await list.check('shared memory', '', () => judgeSharedMemory(config));
  await list.check('open files', '', () => judgeFiles(config, machine));
  return list.findings;
}

function judgeCores({ lanes }: Config, { cores }: Machine): Verdict {
  const says = `${lanes} ${lanes === 1 ? 'lane' : 'lanes'} and the front thread on ${cores} cores`;
  const fit = Math.max(1, Math.floor(cores) - 1);
  return lanes <= fit
    ? ok(says)
    : warning(`${says}: they take time from each other, and from hits first`, `HEADRACE_LANES=${fit}`);
}

function judgeMemory({ l1Bytes, lanes }: Config, { memoryBytes }: Machine): Verdict {
  const says = `L1 ${formatBytes(l1Bytes)} of ${mebibytes(memoryBytes)}`;
  const rest = PROCESS_BYTES + lanes * LANE_BYTES;
  const fit = Math.floor((memoryBytes - rest) / 2 ** 20);
  const change =
    fit >= 1
      ? `HEADRACE_L1_BYTES=${fit}MiB or less; or give it more memory`
      : `give it at least ${mebibytes(rest + l1Bytes)} of memory; or HEADRACE_LANES lower`;
  if (l1Bytes >= memoryBytes) return problem(`${says}: more than there is`, change);
  return l1Bytes + rest <= memoryBytes
    ? ok(says)
    : warning(
        `${says} leaves less than ${mebibytes(rest)} for the threads: the system may end the server`,
        change,
      );
}

declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => object;
};

/** Reserved as the server does it, and not touched: that costs address space alone, which can be limited too. */
function judgeSharedMemory({ l1Bytes }: Config): Verdict {
  const pages = Math.ceil(l1Bytes / WASM_PAGE_BYTES);
  try {
    new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    return ok(`${formatBytes(l1Bytes)} can be had`);
  } catch (error) {
    return problem(
      `${formatBytes(l1Bytes)} for L1 cannot be had: ${error instanceof Error ? error.message : error}`,
      'ulimit -v unlimited; sysctl vm.overcommit_memory=0; or HEADRACE_L1_BYTES lower',
    );
  }
}

function judgeFiles({ connectionsMax }: Config, { openFilesMax }: Machine): Verdict {
  if (openFilesMax === undefined) return ok('no limit is known');
  const says = `${openFilesMax} may be open, HEADRACE_CONNECTIONS_MAX ${connectionsMax}`;
  if (connectionsMax + FILES_SPARE <= openFilesMax) return ok(says);
  const fit = Math.max(1, openFilesMax - FILES_SPARE);
  return warning(
    `${says}: connections beyond the limit fail`,
    `ulimit -n ${connectionsMax + FILES_SPARE} (systemd: LimitNOFILE=); or HEADRACE_CONNECTIONS_MAX=${fit}`,
  );
}

function thisMachine(): Machine {
  const memory = process.constrainedMemory();
  return {
    cores: Math.min(availableParallelism(), cgroupCores() ?? Number.POSITIVE_INFINITY),
    // Without a limit it is 0, or larger than any memory.
    memoryBytes: memory > 0 ? Math.min(totalmem(), memory) : totalmem(),
    openFilesMax: openFilesMax(),
  };
}

const CGROUP = '/sys/fs/cgroup';

/** The quota of processor time, which `availableParallelism` of Node.js 20 does not count. */
function cgroupCores(): number | undefined {
  const [quota, period] = (textOf(`${CGROUP}/cpu.max`) ?? '').split(' ').map(Number);
  const cores = Number(quota) / Number(period);
  if (cores > 0) return cores;
  const coresV1 =
    Number(textOf(`${CGROUP}/cpu/cpu.cfs_quota_us`)) / Number(textOf(`${CGROUP}/cpu/cpu.cfs_period_us`));
  return coresV1 > 0 ? coresV1 : undefined;
}

/** Node.js raises its own limit to the hard one when it starts. */
function openFilesMax(): number | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(textOf('/proc/self/limits') ?? '')?.[1];
  return soft === undefined ? undefined : Number(soft);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}
