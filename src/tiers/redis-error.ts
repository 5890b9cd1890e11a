/** What Redis and its client report when they fail, as the error `unavailable` with what to do about it. */
import { AssertionError } from '../base/assert.js';
import { HeadraceError } from '../base/errors.js';
import { TierRefusal } from '../base/tier.js';

/** Looked for in order; what stands in no row is shown as it is. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/\bOOM\b/, 'it is out of memory: raise maxmemory, or set a maxmemory-policy that evicts'],
  [/^READONLY|-READONLY/, 'the server is a replica: a failover may be under way'],
  [/^LOADING/, 'it is loading its data from disk'],
  [/^MASTERDOWN/, 'the replica has lost its master'],
  [/^CLUSTERDOWN/, 'the cluster is down: some slots have no master'],
  [/^MISCONF/, 'it cannot save to disk and refuses writes (stop-writes-on-bgsave-error)'],
  [/^NOREPLICAS/, 'too few replicas are connected (min-replicas-to-write)'],
  [/^(NOAUTH|WRONGPASS)/, 'it refuses the user or password'],
  [/^NOPERM/, 'the ACL user may not run a command that is needed'],
  [/^BUSY /, 'it is busy with a script'],
  [/^unknown command|ERR unknown command/, 'it is too old for a command that is needed'],
  [/Command timed out/, 'it did not answer in time'],
  [/max retries per request|Connection is closed|closed|writeable/i, 'the connection was lost'],
  [/Cluster redirections|TRYAGAIN/, 'slots are moving and the cluster has not settled'],
  [/None of startup nodes|Failed to refresh slots|isn't ready/, 'no node of the cluster can be reached'],
];

/** Answers of a server that is well, and will not: to ask again is of no use, and reads may go on. */
const REFUSALS = /\bOOM\b|^MISCONF|^NOPERM/;

/** The error to throw for one that a command failed with. Programmers' errors stay what they are. */
export function redisError(error: unknown): Error {
  if (error instanceof HeadraceError || error instanceof AssertionError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const reason = REASONS.find(([form]) => form.test(message))?.[1];
  const told = reason === undefined ? message : `${reason} (${message})`;
  return REFUSALS.test(message) ? new TierRefusal(`Redis: ${told}`) : redisUnavailable(told);
}

export function redisUnavailable(reason: string): HeadraceError {
  return new HeadraceError('unavailable', `Redis: ${reason}`);
}
