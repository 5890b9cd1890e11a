/** What the server says of a view or a cache. */
import type { ProblemCode } from '../base/errors.js';
import { ClientError } from './client-error.js';
import { objectOf } from './json-answer.js';
import type { CallOptions, Transport } from './transport.js';

/** `undefined`: there is none, which the server says with the code. */
export async function infoOf(
  transport: Transport,
  path: string,
  missing: ProblemCode,
  options: CallOptions,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    return objectOf(await transport.send({ ...options, method: 'GET', path, repeat: 'read' }));
  } catch (error) {
    if (error instanceof ClientError && error.code === missing) return undefined;
    throw error;
  }
}
