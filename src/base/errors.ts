/**
 * Every error a user can meet, once: its stable code, HTTP status and title (RFC 9457 problem types).
 *
 * Operating errors are `HeadraceError`s and become answers; programmers' errors are assertions and end the thread.
 */

const PROBLEMS = {
  'bad-request': { status: 400, title: 'The request cannot be understood' },
  'bad-encoding': { status: 400, title: 'The path is not valid percent-encoded UTF-8' },
  'bad-id': { status: 400, title: 'The id is not 1 to 512 bytes of UTF-8' },
  'bad-name': { status: 400, title: 'The name is not allowed' },
  'bad-json': { status: 400, title: 'The body is not valid JSON' },
  'bad-header': { status: 400, title: 'A header is not allowed so' },
  'bad-event': { status: 400, title: 'The event does not fit its rules' },
  'bad-query': { status: 400, title: 'A query parameter is not allowed' },
  unauthorised: { status: 401, title: 'The admin key is missing or wrong' },
  'not-found': { status: 404, title: 'There is nothing at this path' },
  'view-not-found': { status: 404, title: 'There is no such view' },
  'record-not-found': { status: 404, title: 'There is no such record' },
  'cache-not-found': { status: 404, title: 'There is no such cache' },
  'entry-not-found': { status: 404, title: 'There is no such entry' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'not-acceptable': { status: 406, title: 'None of the accepted media types can be made' },
  'view-conflict': { status: 409, title: 'The view exists with other features' },
  'lease-lost': { status: 409, title: 'The lease is not valid, or not any more' },
  'body-too-large': { status: 413, title: 'The body is larger than the limit' },
  'too-many-ids': { status: 413, title: 'Too many ids in one request' },
  'path-too-long': { status: 414, title: 'The path is longer than the limit' },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported here' },
  'invalid-record': { status: 422, title: 'The record does not fit the view' },
  'invalid-view': { status: 422, title: 'The view is not valid' },
  'invalid-lookup': { status: 422, title: 'The lookup is not valid' },
  'invalid-invalidation': { status: 422, title: 'The invalidation is not valid' },
  'invalid-vector': { status: 422, title: 'The vector does not fit the cache' },
  'invalid-score': { status: 422, title: 'The request for scores is not valid' },
  'unknown-event': { status: 422, title: 'There are no rules for this type of event' },
  'invalid-key': { status: 422, title: 'The parts of the key are not valid' },
  'too-many-views': { status: 429, title: 'The limit of views is reached' },
  'headers-too-large': { status: 431, title: 'The headers are larger than the limit' },
  internal: { status: 500, title: 'The server failed' },
  'bad-origin': { status: 502, title: 'The origin answered with what cannot be used' },
  overloaded: { status: 503, title: 'The queue is full' },
  unavailable: { status: 503, title: 'A tier that is needed does not answer' },
  draining: { status: 503, title: 'The server is shutting down' },
  deadline: { status: 504, title: 'The deadline passed' },
  'disk-full': { status: 507, title: 'The disk is full' },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

/** What is wrong where: `at` is a field, a feature, or `line 3, column 14`. */
export interface ProblemDetail {
  readonly at: string;
  readonly detail: string;
}

/** RFC 9457 body of every error answer. */
export interface Problem {
  readonly type: `urn:headrace:problem:${ProblemCode}`;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly ProblemDetail[];
}

/** An operating error with a stable code. `message` is for the user: it says what is wrong and what to do. */
export class HeadraceError extends Error {
  readonly code: ProblemCode;
  readonly errors: readonly ProblemDetail[] | undefined;

  constructor(code: ProblemCode, message: string, errors?: readonly ProblemDetail[]) {
    super(message);
    this.name = 'HeadraceError';
    this.code = code;
    this.errors = errors;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  problem(): Problem {
    return problemOf(this.code, this.message, this.errors);
  }
}

export function problemOf(code: ProblemCode, detail: string, errors?: readonly ProblemDetail[]): Problem {
  const { status, title } = PROBLEMS[code];
  const base = { type: `urn:headrace:problem:${code}`, title, status, detail } as const;
  return errors === undefined ? base : { ...base, errors };
}

export function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}
