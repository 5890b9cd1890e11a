/** Whether the files by which caches are warmed can be read, and are lists of keys. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CacheDefinition } from '../caches/definition.js';
import { readKeyList, readKeyListFile } from '../caches/key-list.js';
import { Checklist, type Finding, ok, type Verdict, warning } from '../tiers/tier-check.js';

/** A list that is not there is no problem of the server's: it starts, and looks again. */
export async function checkLists(
  definitions: readonly CacheDefinition[],
  limitMs: number,
): Promise<readonly Finding[]> {
  const list = new Checklist('lists', limitMs);
  for (const cache of definitions) {
    const { file, keysMax } = cache.warm ?? {};
    if (file !== undefined && keysMax !== undefined)
      await list.check(cache.name, 'make the list shorter', () => judge(cache, file, keysMax));
  }
  return list.findings;
}

async function judge(cache: CacheDefinition, file: string, keysMax: number): Promise<Verdict> {
  let bytes: Uint8Array;
  try {
    bytes = await readKeyListFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return warning(
      reason,
      'put it there, or correct warm.file: until it can be read, the cache is not warmed',
    );
  }
  const { ids, wrong, problem } = await readKeyList(bytes, { cache, keysMax, pause: nextTurn });
  const says = `${file} has keys: ${ids.length}`;
  if (wrong === 0) return ok(says);
  return warning(
    `${says}, and lines that are none: ${wrong}; ${problem}`,
    'correct them: they are passed over',
  );
}
