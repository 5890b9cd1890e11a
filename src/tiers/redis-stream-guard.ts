/**
 * Keeps bytes that are no replies from ending the thread: ioredis throws from within its socket's `data` event when, for
 * example, a message of a subscriber has no channel, and nobody could catch that. Such a connection is broken off with the
 * error, as any other that cannot be used, and made anew by whoever owns it.
 */
import type { Redis } from 'ioredis';
import { AssertionError } from '../base/assert.js';

/** For a client that has not connected yet. */
export function guardStream(client: Redis): void {
  client.on('connect', () => {
    const { stream } = client;
    const emit = stream.emit.bind(stream);
    stream.emit = (event: string | symbol, ...given: unknown[]): boolean => {
      try {
        return emit(event, ...given);
      } catch (error) {
        // Bugs of ours are no fault of the server's.
        if (event !== 'data' || error instanceof AssertionError) throw error;
        stream.destroy(error instanceof Error ? error : new Error(String(error)));
        return true;
      }
    };
  });
}
