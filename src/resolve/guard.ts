/**
 * A tier that always answers: each call has a time, after which it fails with `unavailable`.
 *
 * What answers at once is passed through as it is. A write that ran out of time may still be applied later; versions
 * make that harmless.
 */
import { HeadraceError } from '../base/errors.js';
import type { Tier, TierWrite } from '../base/tier.js';

export interface GuardOptions {
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
}

export function guardTier(tier: Tier, options: GuardOptions): Tier {
  const { readTimeoutMs, writeTimeoutMs } = options;
  const limited = <T>(answer: Promise<T>, verb: string, timeoutMs: number) =>
    withTimeout(answer, timeoutMs, `${tier.name} did not ${verb} within ${timeoutMs} ms`);
  return {
    name: tier.name,
    getMany(keys: readonly Uint8Array[]) {
      const answer = tier.getMany(keys);
      return answer instanceof Promise ? limited(answer, 'answer', readTimeoutMs) : answer;
    },
    putMany: (writes: readonly TierWrite[]) =>
      limited(tier.putMany(writes), 'confirm a write, which may yet be applied,', writeTimeoutMs),
    deleteMany: (keys: readonly Uint8Array[]) =>
      limited(tier.deleteMany(keys), 'confirm a deletion', writeTimeoutMs),
    close: () => tier.close(),
  };
}

function withTimeout<T>(answer: Promise<T>, timeoutMs: number, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new HeadraceError('unavailable', message)), timeoutMs);
    answer.then(
      value => {
        clearTimeout(timer);
        resolve(value);
      },
      error => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
