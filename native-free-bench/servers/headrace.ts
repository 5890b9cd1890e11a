/**
 * The server under test. Started with a data directory of its own; what else is set in the environment (tiers, front,
 * lanes) applies, so that any set-up can be measured. Or one that runs already, at an address.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '../user-error.js';
import { type ChildServer, type Server, startServer } from './child.js';
import { cpuMicros, memoryBytes } from './process-figures.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

export interface HeadraceOptions {
  readonly dataDir: string;
  /** Bytes of shared memory; the server's default when absent. */
  readonly l1Bytes?: number | undefined;
  /** A Redis that it shares with others; what the environment says when absent. */
  readonly redisUrl?: string;
}

export async function startHeadrace(options: HeadraceOptions): Promise<ChildServer> {
  if (!existsSync(CLI)) throw new UserError('headrace is not built: run `npm run build` first');
  return startServer('headrace', [CLI, 'serve'], {
    HEADRACE_HOST: '127.0.0.1',
    HEADRACE_PORT: '0',
    HEADRACE_ADMIN_PORT: '0',
    HEADRACE_DATA_DIR: options.dataDir,
    ...(options.l1Bytes === undefined ? {} : { HEADRACE_L1_BYTES: String(options.l1Bytes) }),
    ...(options.redisUrl === undefined ? {} : { HEADRACE_REDIS_URL: options.redisUrl }),
  });
}

/** A server that runs already and goes on running. With its process id, CPU and memory are known too. */
export function headraceAt(url: URL, pid: number | undefined): Server {
  return {
    name: 'headrace',
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    cpuMicros: () => (pid === undefined ? undefined : cpuMicros(pid)),
    memoryBytes: () => (pid === undefined ? undefined : memoryBytes(pid)),
    stop: () => Promise.resolve(),
  };
}
