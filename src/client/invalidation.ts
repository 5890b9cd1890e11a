/** What to invalidate of a view or a cache. */
import { objectOf } from './json-answer.js';
import type { CallOptions, Transport } from './transport.js';

export type Invalidation =
  | { readonly ids: readonly string[] }
  | { readonly prefix: string }
  | { readonly tags: readonly string[] }
  /** `*` is the only wildcard. */
  | { readonly pattern: string }
  | { readonly all: true };

/** Its `invalidated` says how many there were. Sent again when it fails: what is gone already is not gone twice. */
export async function invalidate(
  transport: Transport,
  path: string,
  what: Invalidation,
  options: CallOptions,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await transport.send({
    ...options,
    method: 'POST',
    path: `${path}/invalidate`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(what),
    repeat: 'safe',
  });
  return objectOf(answer);
}
