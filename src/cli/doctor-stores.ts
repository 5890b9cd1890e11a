/** What the configuration makes of the stores: which keeps the records and why, and who tells of changes made elsewhere. */
import { formatDuration } from '../base/duration.js';
import { type Config, recordStoreOf } from '../config.js';
import { Checklist, type Finding, ok, problem, type Verdict, warning } from '../tiers/tier-check.js';

const NAMES = { lmdb: 'LMDB', redis: 'Redis', mongodb: 'MongoDB' } as const;
const URLS = { redis: 'HEADRACE_REDIS_URL', mongodb: 'HEADRACE_MONGODB_URL' } as const;

export async function checkStores(config: Config, limitMs: number): Promise<readonly Finding[]> {
  const list = new Checklist('records', limitMs);
  await list.check('store', '', () => judgeStore(config));
  await list.check('coherence', '', () => judgeCoherence(config));
  return list.findings;
}

function judgeStore(config: Config): Verdict {
  const { recordStore, redisUrl, mongodbUrl } = config;
  const store = recordStoreOf(config);
  if (recordStore !== 'auto') {
    if (store !== 'lmdb' && { redis: redisUrl, mongodb: mongodbUrl }[store] === '') {
      return problem(
        `HEADRACE_RECORD_STORE is ${store}, but ${URLS[store]} is not set`,
        `set ${URLS[store]}; or HEADRACE_RECORD_STORE=auto`,
      );
    }
    const says = `${NAMES[store]}, as HEADRACE_RECORD_STORE says`;
    return mongodbUrl === '' || store === 'mongodb'
      ? ok(says)
      : warning(
          `${says}; MongoDB is configured, but not used`,
          `unset ${URLS.mongodb}; or HEADRACE_RECORD_STORE=auto`,
        );
  }
  if (store === 'mongodb') return ok(`${NAMES[store]}, since ${URLS.mongodb} is set`);
  if (store === 'redis') return ok(`${NAMES[store]}, since ${URLS.redis} is set and ${URLS.mongodb} is not`);
  return ok(`${NAMES[store]} in HEADRACE_DATA_DIR, since neither ${URLS.mongodb} nor ${URLS.redis} is set`);
}

function judgeCoherence(config: Config): Verdict {
  const { redisUrl, staleMax } = config;
  const store = recordStoreOf(config);
  if (store === 'lmdb' && redisUrl === '') return ok('one server: nobody else changes its records');
  if (store === 'lmdb') {
    return warning(
      'servers that share this Redis each keep records of their own: what one writes, the others overwrite or lack',
      `run one server on this Redis; or keep the records there too: HEADRACE_RECORD_STORE=redis`,
    );
  }
  if (redisUrl !== '') return ok('Redis tells every server what another has changed');
  const stale = formatDuration(staleMax);
  return warning(
    `without Redis nobody tells a server what another has changed: it may serve what it holds for ${stale} longer`,
    `set ${URLS.redis}; or HEADRACE_STALE_MAX (${stale} now) to what may be; 0ms reads MongoDB each time`,
  );
}
