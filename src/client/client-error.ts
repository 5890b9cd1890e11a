/** The one error that the client library throws: what went wrong as a stable code, the server's where it answered. */
import { HeadraceError, isProblemCode, type ProblemCode, type ProblemDetail } from '../base/errors.js';

/** What no server says. */
const LOCAL_CODES = {
  timeout: 'there was no answer in time',
  aborted: 'the caller has given up',
  connection: 'the server cannot be reached, or the connection broke',
  'bad-answer': 'what answered does not answer as headrace does',
  busy: 'too many calls are waiting in this client',
  closed: 'the client is closed',
} as const;
export type LocalCode = keyof typeof LOCAL_CODES;

/** A problem of a newer server is `unknown-problem`; its text says what it is. */
export type ErrorCode = ProblemCode | LocalCode | 'unknown-problem';

export interface ErrorFacts {
  /** Of the answer; 0 when there was none. */
  readonly status?: number;
  readonly errors?: readonly ProblemDetail[] | undefined;
  readonly cause?: unknown;
  /** The server has surely not done what it was asked. */
  readonly wasRefused?: boolean;
  /** What the server wants to be left alone for. */
  readonly retryAfterMs?: number;
}

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ErrorCode;
  readonly status: number;
  /** What is wrong where, as the server told it. */
  readonly errors: readonly ProblemDetail[];
  readonly wasRefused: boolean;
  readonly retryAfterMs: number;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, 'cause' in facts ? { cause: facts.cause } : undefined);
    this.code = code;
    this.status = facts.status ?? 0;
    this.errors = facts.errors ?? [];
    this.wasRefused = facts.wasRefused ?? false;
    this.retryAfterMs = facts.retryAfterMs ?? 0;
  }
}

export function localError(code: LocalCode, detail?: string, cause?: unknown): ClientError {
  const message = detail === undefined ? LOCAL_CODES[code] : `${LOCAL_CODES[code]}: ${detail}`;
  return new ClientError(code, message, cause === undefined ? {} : { cause });
}

/** What is thrown by the code that client and server share. */
export function clientErrorOf(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  if (error instanceof HeadraceError) {
    const { code, message, status, errors } = error;
    return new ClientError(code, message, { status, errors, wasRefused: true });
  }
  throw error;
}

const PROBLEM_TYPE = 'urn:headrace:problem:';
/** With these codes, and with any 4xx, the server has not done what it was asked. */
const REFUSALS: readonly string[] = ['overloaded', 'disk-full'] satisfies ProblemCode[];

export interface ErrorAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly retryAfter: string;
  readonly bytes: Uint8Array;
}

export function errorOfAnswer({ status, contentType, retryAfter, bytes }: ErrorAnswer): ClientError {
  const seconds = Number(retryAfter);
  const retryAfterMs = seconds > 0 ? seconds * 1000 : 0;
  const problem = contentType.startsWith('application/problem+json') ? parsed(bytes) : undefined;
  const { type, detail, errors } = problem ?? {};
  if (typeof type !== 'string' || !type.startsWith(PROBLEM_TYPE)) {
    // A load balancer, or no headrace at all: nothing is known of what was done.
    return new ClientError('bad-answer', `an answer with status ${status} is no problem of headrace`, {
      status,
      retryAfterMs,
    });
  }
  const told = type.slice(PROBLEM_TYPE.length);
  const code = isProblemCode(told) ? told : 'unknown-problem';
  const message = typeof detail === 'string' ? detail : told;
  const wasRefused = (status >= 400 && status < 500) || REFUSALS.includes(code);
  return new ClientError(code, code === told ? message : `${told}: ${message}`, {
    status,
    errors: Array.isArray(errors) ? errors.filter(isDetail) : [],
    wasRefused,
    retryAfterMs,
  });
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function isDetail(value: unknown): value is ProblemDetail {
  if (typeof value !== 'object' || value === null || !('at' in value) || !('detail' in value)) return false;
  return typeof value.at === 'string' && typeof value.detail === 'string';
}
