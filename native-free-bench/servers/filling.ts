/** Fills a server through its public endpoints: declares a view and streams documents into it. */
import { documentId, type RecordMaker } from '../data/records.js';
import { closedPass } from '../load/closed-pass.js';
import type { Address } from '../load/connections.js';
import type { LoadRequest } from '../load/open-loop.js';
import { UserError } from '../user-error.js';
import { call } from './http-call.js';

const CHUNK_LINES = 200;
const LOOKUP_IDS = 1000;
const PUTS_AT_ONCE = 64;
const PUT_WITHIN_MS = 30_000;

/** What is put as fast as it goes may wait for longer than a server lets it by itself. */
export const PATIENCE = { HEADRACE_DEADLINE: '10s' } as const;

export async function declareView(address: Address, maker: RecordMaker): Promise<void> {
  await call(address, 'PUT', `/v1/views/${maker.view}`, {
    headers: { 'content-type': 'application/json' },
    body: maker.viewDefinition(),
  });
}

export interface Ingest {
  readonly bytes: number;
  /** From the first byte sent to the answer, which means that every record is durable. */
  readonly elapsedMs: number;
}

/**
 * Streams documents 0 to `count` - 1 in one body. `onProgress` is called with the number of documents sent.
 * @throws UserError when a record was not taken.
 */
export async function ingest(
  address: Address,
  maker: RecordMaker,
  count: number,
  onProgress: (sent: number) => void = () => {},
): Promise<Ingest> {
  const bytes = maker.ndjsonBytes(0, count);
  const startMs = performance.now();
  const answer = await call(address, 'POST', `/v1/views/${maker.view}/records`, {
    headers: { 'content-type': 'application/x-ndjson', 'content-length': String(bytes) },
    body: ndjson(maker, count, onProgress),
  });
  const elapsedMs = performance.now() - startMs;
  const outcome: unknown = JSON.parse(answer.body.toString());
  if (typeof outcome !== 'object' || outcome === null || !('failed' in outcome) || outcome.failed !== 0) {
    throw new UserError(`records were not taken: ${answer.body.toString().slice(0, 500)}`);
  }
  return { bytes, elapsedMs };
}

function* ndjson(maker: RecordMaker, count: number, onProgress: (sent: number) => void): Generator<string> {
  for (let from = 0; from < count; from += CHUNK_LINES) {
    const to = Math.min(count, from + CHUNK_LINES);
    let chunk = '';
    for (let document = from; document < to; document++) chunk += maker.ndjsonLine(document);
    yield chunk;
    onProgress(to);
  }
}

/** Looks documents up in bulk, so that the shared table holds what it would hold after as many single reads. */
export async function warm(address: Address, maker: RecordMaker, documents: Iterable<number>): Promise<void> {
  let ids: string[] = [];
  const flush = async () => {
    if (ids.length === 0) return;
    await call(address, 'POST', lookupPath(maker), {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ids, features: maker.featureNames.slice(0, 1) }),
    });
    ids = [];
  };
  for (const document of documents) {
    ids.push(documentId(document));
    if (ids.length === LOOKUP_IDS) await flush();
  }
  await flush();
}

export function lookupPath(maker: RecordMaker): string {
  return `/v1/views/${maker.view}/lookup`;
}

/** Puts one payload under every path, for a day. @throws UserError when an entry was not taken. */
export async function putEntries(address: Address, paths: readonly string[], payload: string): Promise<void> {
  let put = 0;
  const next = () => putRequest(address, paths[put++ % paths.length] ?? '', payload);
  const { tally } = await closedPass(address, {
    clients: PUTS_AT_ONCE,
    requestsEach: Math.ceil(paths.length / PUTS_AT_ONCE),
    timeoutMs: PUT_WITHIN_MS,
    next,
  });
  if (tally.errors > 0) throw new UserError(`${tally.errors} entries were not taken`);
}

export function putRequest({ host, port }: Address, path: string, payload: string): LoadRequest {
  const lines = [
    `PUT ${path} HTTP/1.1`,
    `host: ${host}:${port}`,
    'content-type: application/json',
    'cache-control: max-age=86400',
    `content-length: ${Buffer.byteLength(payload)}`,
  ];
  return { bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n${payload}`), isRead: false };
}
