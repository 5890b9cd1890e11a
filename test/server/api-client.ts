/** A client of the data port that sends paths and bodies as they are given, over connections that are kept. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import type { Readable } from 'node:stream';

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  readonly bytes: Buffer;
  /** The body as text. */
  readonly text: string;
  /** The body as JSON. @throws SyntaxError */
  json(): unknown;
}

export type RequestBody = string | Uint8Array | Readable;

export class ApiClient {
  readonly #port: number;
  readonly #agent: Agent;

  constructor(port: number, maxSockets = 16) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive: true, maxSockets });
  }

  /** `path` goes out as it stands. Strings and bytes go with their length, streams in chunks. */
  request(
    method: string,
    path: string,
    body?: RequestBody,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sized = typeof body === 'string' || body instanceof Uint8Array;
      const length = sized ? { 'content-length': String(Buffer.byteLength(body)) } : {};
      const asked = request({
        host: '127.0.0.1',
        port: this.#port,
        agent: this.#agent,
        method,
        path,
        headers: { ...length, ...headers },
      });
      asked.on('error', reject);
      asked.on('response', answer => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => resolve(answerOf(answer.statusCode ?? 0, answer.headers, chunks)));
      });
      if (body === undefined || sized) asked.end(body);
      else body.pipe(asked);
    });
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.request('GET', path, undefined, headers);
  }

  head(path: string): Promise<Answer> {
    return this.request('HEAD', path);
  }

  delete(path: string): Promise<Answer> {
    return this.request('DELETE', path);
  }

  /** Sends what is no string as JSON. */
  put(path: string, body: unknown): Promise<Answer> {
    return this.request('PUT', path, textOf(body));
  }

  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.request('POST', path, textOf(body), headers);
  }

  /** Loads lines: `query` with its `?`. */
  load(view: string, lines: RequestBody, query = ''): Promise<Answer> {
    const type = { 'content-type': 'application/x-ndjson' };
    return this.request('POST', `/v1/views/${view}/records${query}`, lines, type);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** A record's path; the id is percent-encoded. */
export function recordPath(view: string, id: string): string {
  return `/v1/views/${view}/records/${encodeURIComponent(id)}`;
}

function textOf(body: unknown): string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
}

function answerOf(status: number, headers: Answer['headers'], chunks: readonly Buffer[]): Answer {
  const bytes = Buffer.concat(chunks);
  return {
    status,
    headers,
    bytes,
    get text() {
      return bytes.toString();
    },
    json: () => JSON.parse(bytes.toString()) as unknown,
  };
}
