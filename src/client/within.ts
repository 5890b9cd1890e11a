/** Waiting for a bounded time. */
import { localError } from './client-error.js';

/** The promise, or a ClientError `timeout`; what it was for goes on. */
export function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(localError('timeout', `${timeoutMs} ms`)), timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
