/** Whether the origins of named caches are there: any HTTP answer will do, also one that is no value. */
import { parseOriginPlace } from '../base/origin-url.js';
import type { CacheDefinition } from '../caches/definition.js';
import { EXCHANGE_DEFAULTS, OriginExchange } from '../tiers/origin-exchange.js';
import { Checklist, type Finding, ok, type Verdict, warning } from '../tiers/tier-check.js';

/** An origin that is away is no problem of the server's: it starts, and serves what it has. */
export async function checkOrigins(
  definitions: readonly CacheDefinition[],
  limitMs: number,
): Promise<readonly Finding[]> {
  const checks = definitions.map(async ({ name, origin }) => {
    const list = new Checklist('origins', limitMs);
    const { allowHosts: hosts = [], allowPrivate: addresses = [] } = origin ?? {};
    for (const url of [origin?.url, origin?.batchUrl]) {
      if (url !== undefined) await list.check(name, '', () => judge({ url, hosts, addresses }, limitMs));
    }
    return list.findings;
  });
  return (await Promise.all(checks)).flat();
}

async function judge(place: Parameters<typeof parseOriginPlace>[0], limitMs: number): Promise<Verdict> {
  const target = parseOriginPlace(place);
  if (typeof target === 'string') return warning(target, 'correct its url');
  const exchange = new OriginExchange(target, { ...EXCHANGE_DEFAULTS, timeoutMs: limitMs / 2 });
  try {
    await exchange.ping();
    return ok(`${target.origin} answers`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return warning(
      reason,
      'start it, or correct its url: until it answers, misses fail, and stale is served',
    );
  } finally {
    await exchange.close();
  }
}
