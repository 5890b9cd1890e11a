/** Single HTTP calls outside the measurement: declaring views, filling, taking an answer for rivals to repeat. */
import { request } from 'node:http';
import type { Address } from '../load/connections.js';
import { UserError } from '../user-error.js';

const CALL_WITHIN_MS = 600_000;

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<string> | Iterable<string>;
}

export interface CallAnswer {
  readonly status: number;
  /** Name, value, name, value, … as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** @throws UserError when the server cannot be reached or answers with a status of 400 or more. */
export async function call(
  address: Address,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<CallAnswer> {
  const answer = await send(address, method, path, options).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`${method} ${path} at ${address.host}:${address.port} failed: ${reason}`);
  });
  if (answer.status >= 400) {
    throw new UserError(
      `${method} ${path} was answered with ${answer.status}: ${answer.body.toString().slice(0, 500)}`,
    );
  }
  return answer;
}

function send(address: Address, method: string, path: string, options: CallOptions): Promise<CallAnswer> {
  return new Promise((resolve, reject) => {
    const { host, port } = address;
    const outgoing = request({
      host,
      port,
      method,
      path,
      headers: options.headers,
      timeout: CALL_WITHIN_MS,
      agent: false,
    });
    outgoing.on('response', incoming => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const { statusCode = 0, rawHeaders } = incoming;
        resolve({ status: statusCode, rawHeaders, body: Buffer.concat(chunks) });
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${CALL_WITHIN_MS / 1000} s`)));
    outgoing.on('error', reject);
    writeBody(outgoing, options.body).catch(reject);
  });
}

async function writeBody(outgoing: ReturnType<typeof request>, body: CallOptions['body']): Promise<void> {
  if (body === undefined || typeof body === 'string') {
    outgoing.end(body);
    return;
  }
  for await (const chunk of body) {
    if (outgoing.destroyed) return;
    if (!outgoing.write(chunk)) await drained(outgoing);
  }
  outgoing.end();
}

/** Also resolves when the connection ends, which 'drain' alone would wait for in vain. */
function drained(outgoing: ReturnType<typeof request>): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      outgoing.off('drain', done);
      outgoing.off('close', done);
      resolve();
    };
    outgoing.on('drain', done);
    outgoing.on('close', done);
  });
}
