/**
 * `headrace doctor`: reads the configuration as `serve` does, looks at each part that it names, and says what to
 * change. It changes nothing itself. Parts are looked at beside each other, the checks of one part in turn; each check
 * has a time limit, and a server that is silent is a problem like any other.
 */
import type { CacheDefinition } from '../caches/definition.js';
import { DefinitionsFileError, readDefinitionsFile } from '../caches/definitions-file.js';
import {
  type Config,
  ConfigError,
  type Given,
  optionRows,
  printConfig,
  readConfig,
  recordStoreOf,
} from '../config.js';
import { checkDataDir } from '../tiers/data-dir-check.js';
import { checkMongo } from '../tiers/mongo-check.js';
import { checkRedis } from '../tiers/redis-check.js';
import type { Finding } from '../tiers/tier-check.js';
import { checkMachine } from './doctor-machine.js';
import { checkOrigins } from './doctor-origins.js';
import { checkStores } from './doctor-stores.js';

export { reportJson, reportText } from './doctor-report.js';

/** For each check. */
const CHECK_MS_MAX = 5_000;

/** Never throws for what a user can do wrong: that is a finding too. */
export async function examine(
  environment: Readonly<Record<string, string | undefined>>,
  flags: Given,
): Promise<readonly Finding[]> {
  try {
    const config = readConfig(environment, flags);
    const { findings, definitions } = caches(config);
    const parts = [...partsOf(config), checkOrigins(definitions, CHECK_MS_MAX)];
    return (await Promise.all([[...configuration(config), ...findings], ...parts])).flat();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n').map(says => ({
      part: 'configuration',
      check: 'options',
      status: 'problem',
      says,
      change: `correct it, then ask again: the other checks need a valid configuration`,
    }));
  }
}

function configuration(config: Config): readonly Finding[] {
  const values = printConfig(config);
  const changed = optionRows.filter(({ name, standard }) => values.get(name) !== standard).length;
  const says = `${changed} of ${optionRows.length} are not the default`;
  return [{ part: 'configuration', check: 'options', status: 'ok', says }];
}

interface CachesFound {
  readonly findings: readonly Finding[];
  /** None when the file is wrong. */
  readonly definitions: readonly CacheDefinition[];
}

/** Without a file there is nothing to check. */
function caches({ configFile }: Config): CachesFound {
  const finding = { part: 'configuration', check: 'caches' };
  try {
    const { caches: definitions, events } = readDefinitionsFile(configFile);
    if (configFile === '') return { findings: [], definitions };
    const findings: readonly Finding[] = [
      { ...finding, status: 'ok', says: `${definitions.length} in ${configFile}` },
      { ...finding, check: 'events', status: 'ok', says: `${events.size} in ${configFile}` },
    ];
    return { findings, definitions };
  } catch (error) {
    if (!(error instanceof DefinitionsFileError)) throw error;
    const change = 'correct the file that HEADRACE_CONFIG_FILE names';
    const findings = error.message
      .split('\n')
      .map((says): Finding => ({ ...finding, status: 'problem', says, change }));
    return { findings, definitions: [] };
  }
}

function partsOf(config: Config): Promise<readonly Finding[]>[] {
  const { redisUrl, redisTimeout, mongodbUrl, mongodbTimeout, dataDir, diskFreeMin, localCopyBytes } = config;
  const limitMs = CHECK_MS_MAX;
  const recordStore = recordStoreOf(config);
  const isRecordStore = recordStore === 'lmdb';
  const parts = [
    checkMachine(config, limitMs),
    checkStores(config, limitMs),
    checkDataDir({
      dataDir,
      diskFreeMin,
      // Copies are only kept where Redis tells what changes.
      copyBytes: isRecordStore || redisUrl === '' ? 0 : localCopyBytes,
      isRecordStore,
      limitMs,
    }),
  ];
  if (redisUrl !== '') {
    const role = recordStore === 'redis' ? 'store of record' : 'cache';
    parts.push(checkRedis({ url: redisUrl, role, timeoutMs: redisTimeout, limitMs }));
  }
  if (mongodbUrl !== '') parts.push(checkMongo({ url: mongodbUrl, timeoutMs: mongodbTimeout, limitMs }));
  return parts;
}
