/** What the commands need of HTTP: one request, and errors that a user can act on. */

/** A mistake of the user, or of the world: printed as it is, without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

export interface Answer {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly body: unknown;
}

const TIMEOUT_MS = 120_000;

/** @throws CliError when there is no server, or it does not answer in time, or the answer is not JSON. */
export async function request(
  url: URL,
  method: string,
  body?: { type: string; bytes: Uint8Array<ArrayBuffer> | string },
): Promise<Answer> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const init =
    body === undefined
      ? { method, signal }
      : { method, signal, body: body.bytes, headers: { 'content-type': body.type } };
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, init);
    text = await response.text();
  } catch (error) {
    throw new CliError(connectionProblem(url, error));
  }
  const retryAfterMs = Number(response.headers.get('retry-after') ?? 0) * 1000;
  return { status: response.status, retryAfterMs, body: parse(text, url) };
}

function parse(text: string, url: URL): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    throw new CliError(`${url.origin} does not answer like headrace: ${text.slice(0, 80)}`);
  }
}

function connectionProblem(url: URL, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  if (code === 'ECONNREFUSED') return `no server answers at ${url.origin}; start one with 'headrace serve'`;
  if (cause instanceof DOMException && cause.name === 'TimeoutError')
    return `${url.origin} did not answer in ${TIMEOUT_MS / 1000} s`;
  return `the connection to ${url.origin} failed: ${code}`;
}

/** An error answer in one text: the detail, and a line for each place. */
export function problemText(answer: Answer): string {
  const { body } = answer;
  if (typeof body !== 'object' || body === null || !('detail' in body)) return `status ${answer.status}`;
  const places =
    'errors' in body && Array.isArray(body.errors) ? (body.errors as { at: string; detail: string }[]) : [];
  return [String(body.detail), ...places.map(place => `  ${place.at}: ${place.detail}`)].join('\n');
}

/** @throws CliError when the text is no http URL. */
export function serverUrl(text: string): URL {
  if (!URL.canParse(text)) throw new CliError(`--url is '${text}'; it looks like http://127.0.0.1:8080`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CliError(`--url is '${text}'; http or https is wanted`);
  return url;
}

export function viewPath(view: string): string {
  return `/v1/views/${encodeURIComponent(view)}`;
}
