/** Which front is opened: uWebSockets.js where it loads, else node:http. */
import type { Front, FrontOptions } from './front.js';
import { loadUws } from './load-uws.js';
import { openNodeFront } from './node.js';
import { openUwsFront } from './uws.js';

export type FrontKind = 'auto' | 'uws' | 'node';

/**
 * `log` gets one line when `auto` falls back to node:http. `load` is there for tests.
 * @throws Error when `uws` is asked for and does not load; the system's error when the address cannot be listened on.
 */
export async function openFront(
  kind: FrontKind,
  options: FrontOptions,
  log: (message: string) => void,
  load: typeof loadUws = loadUws,
): Promise<Front> {
  if (kind === 'node') return openNodeFront(options);
  const loaded = load(options.limits.headerBytesMax);
  if (loaded.uws !== undefined) return openUwsFront(loaded.uws, options);
  const reasons = loaded.reasons.join('; ');
  if (kind === 'uws') throw new Error(`uWebSockets.js does not load here: ${reasons}`);
  log(`uWebSockets.js does not load here, so HTTP is served by node:http, which is slower: ${reasons}`);
  return openNodeFront(options);
}
