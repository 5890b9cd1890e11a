/** What Redis and its client report when they fail, as the error `unavailable` with what to do about it. */
import { AssertionError } from '../base/assert.js';
import { HeadraceError } from '../base/errors.js';
import { TierRefusal } from '../base/tier.js';

interface Reason {
  readonly form: RegExp;
  readonly text: string;
  /** The server has answered that it will not; else it may pass by itself. */
  readonly isRefusal?: true;
}

/** Looked for in order; what stands in no row is shown as it is. */
const REASONS: readonly Reason[] = [
  {
    form: /\bOOM\b/,
    text: 'it is out of memory: raise maxmemory, or set a maxmemory-policy that evicts',
    isRefusal: true,
  },
  {
    form: /^READONLY|-READONLY/,
    text: 'the server is a replica: a failover may be under way',
    isRefusal: true,
  },
  { form: /^LOADING/, text: 'it is loading its data from disk' },
  { form: /^MASTERDOWN/, text: 'the replica has lost its master' },
  { form: /^CLUSTERDOWN/, text: 'the cluster is down: some slots have no master' },
  {
    form: /^MISCONF/,
    text: 'it cannot save to disk and refuses writes (stop-writes-on-bgsave-error)',
    isRefusal: true,
  },
  {
    form: /^NOREPLICAS/,
    text: 'too few replicas are connected (min-replicas-to-write)',
    isRefusal: true,
  },
  { form: /^(NOAUTH|WRONGPASS)/, text: 'it refuses the user or password', isRefusal: true },
  { form: /^NOPERM/, text: 'the ACL user may not run a command that is needed', isRefusal: true },
  { form: /^BUSY /, text: 'it is busy with a script' },
  {
    form: /^unknown command|ERR unknown command/,
    text: 'it is too old for a command that is needed',
    isRefusal: true,
  },
  { form: /Command timed out/, text: 'it did not answer in time' },
  { form: /max retries per request|Connection is closed|closed|writeable/i, text: 'the connection was lost' },
  { form: /Cluster redirections|TRYAGAIN/, text: 'slots are moving and the cluster has not settled' },
  {
    form: /None of startup nodes|Failed to refresh slots|isn't ready/,
    text: 'no node of the cluster can be reached',
  },
];

/** The error to throw for one that a command failed with. Programmers' errors stay what they are. */
export function redisError(error: unknown): Error {
  if (error instanceof HeadraceError || error instanceof AssertionError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const reason = REASONS.find(({ form }) => form.test(message));
  const text = reason === undefined ? message : `${reason.text} (${message})`;
  return reason?.isRefusal ? new TierRefusal(`Redis: ${text}`) : redisUnavailable(text);
}

export function redisUnavailable(reason: string): HeadraceError {
  return new HeadraceError('unavailable', `Redis: ${reason}`);
}
