/**
 * What the commands need of HTTP: one request at a time a call, and errors that a user can act on.
 *
 * On `node:http`, not `fetch`: that refuses a list of ports, and wraps every reason in "fetch failed".
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import type { ProblemCode } from '../base/errors.js';

/** A mistake of the user, or of the world: printed as it is, without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

export interface Answer {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly body: unknown;
}

export interface RequestBody {
  readonly type: string;
  readonly bytes: Uint8Array | string;
}

const TIMEOUT_MS = 120_000;

/** @throws CliError when there is no server, or it does not answer in time, or the answer is not JSON. */
export async function request(url: URL, method: string, body?: RequestBody): Promise<Answer> {
  let response: IncomingMessage;
  let answer: string;
  try {
    response = await send(url, method, body);
    answer = await text(response);
  } catch (error) {
    throw new CliError(connectionProblem(url, error));
  }
  const retryAfterMs = Number(response.headers['retry-after'] ?? 0) * 1000;
  return { status: response.statusCode ?? 0, retryAfterMs, body: parse(answer, url) };
}

function send(url: URL, method: string, body: RequestBody | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const begin = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const headers =
      body === undefined
        ? {}
        : { 'content-type': body.type, 'content-length': Buffer.byteLength(body.bytes) };
    const outgoing: ClientRequest = begin(url, { method, headers, timeout: TIMEOUT_MS }, resolve);
    // A server that has answered may close before it has read the whole body: the answer counts.
    outgoing.once('error', reject);
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    outgoing.end(body?.bytes);
  });
}

function parse(answer: string, url: URL): unknown {
  try {
    return answer === '' ? undefined : JSON.parse(answer);
  } catch {
    throw new CliError(`${url.origin} does not answer like headrace: ${answer.trim().slice(0, 80)}`);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNRESET: 'it was closed before the answer',
  EPIPE: 'it was closed before the answer',
  EPROTO: 'it does not speak https',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'nothing answers there',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
};

function connectionProblem(url: URL, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ECONNREFUSED')
    return `no server answers at ${url.origin}; start one with 'headrace serve', or say where it is with --url`;
  if (code.startsWith('HPE_')) return `${url.origin} does not speak HTTP`;
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return `the connection to ${url.origin} failed: ${reason}`;
}

/** Whether it is the error answer with this code. */
export function isProblem({ body }: Answer, code: ProblemCode): boolean {
  if (typeof body !== 'object' || body === null || !('type' in body)) return false;
  return body.type === `urn:headrace:problem:${code}`;
}

/** An error answer in one text: the detail, and a line for each place that it does not name. */
export function problemText({ body, status }: Answer): string {
  if (typeof body !== 'object' || body === null || !('detail' in body))
    return `the server answered with status ${status}`;
  const summary = String(body.detail);
  const errors = 'errors' in body && Array.isArray(body.errors) ? body.errors : [];
  const places = (errors as { at: string; detail: string }[])
    .filter(({ detail }) => !summary.includes(detail))
    .map(({ at, detail }) => `  ${at} ${detail}`);
  return [summary, ...places].join('\n');
}

/** @throws CliError when the text is no http URL. */
export function serverUrl(given: string): URL {
  const example = 'it looks like http://127.0.0.1:8080';
  if (!URL.canParse(given)) throw new CliError(`--url is '${given}', which is no URL; ${example}`);
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CliError(`--url is '${given}', which begins neither with http:// nor https://; ${example}`);
  return url;
}

export function viewPath(view: string): string {
  return `/v1/views/${encodeURIComponent(view)}`;
}
