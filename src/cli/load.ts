/**
 * `headrace load`: sends a file of records, a JSON object a line, gzipped or not.
 *
 * The file is read as a stream and sent in batches of whole lines, a few at a time, so that memory does not grow with
 * it and a broken connection costs one batch. A bad line is reported by its number in the file, and the load goes on.
 */
import { createReadStream, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { type Answer, CliError, problemText, request, serverUrl, viewPath } from './client.js';
import { type Batch, batchesOf } from './line-batches.js';
import { grouped, openProgress } from './progress.js';

export interface LoadOptions {
  readonly view: string;
  readonly url: string;
  readonly flat?: boolean;
}

interface Totals {
  applied: number;
  stale: number;
  failed: number;
}

const IN_FLIGHT_MAX = 3;
const ATTEMPTS_MAX = 5;
const ERRORS_PRINTED_MAX = 100;

/** Resolves to the number of failed lines. */
export async function load(file: string, options: LoadOptions): Promise<number> {
  const url = serverUrl(options.url);
  url.pathname = `${viewPath(options.view)}/records`;
  if (options.flat === true) url.searchParams.set('flat', 'true');
  const size = sizeOf(file);
  const raw = createReadStream(file, { highWaterMark: 1 << 18 });
  const totals: Totals = { applied: 0, stale: 0, failed: 0 };
  const progress = openProgress(process.stderr);
  const started = performance.now();
  const report = errorPrinter(file);
  const settle = (batch: Batch, answer: Answer): void => {
    add(totals, batch, answer, report);
    progress.update(raw.bytesRead, size, totals.applied + totals.stale + totals.failed);
  };
  try {
    const lines = file.endsWith('.gz') ? gunzipped(raw) : raw;
    const inFlight = new Set<Promise<void>>();
    for await (const batch of batchesOf(lines)) {
      totals.failed += batch.tooLong.length;
      for (const line of batch.tooLong) report(line, 'is longer than 16 MiB');
      if (batch.bytes.length === 0) continue;
      if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight);
      const sent = send(url, batch).then(answer => settle(batch, answer));
      const tracked = sent.finally(() => inFlight.delete(tracked));
      inFlight.add(tracked);
      tracked.catch(() => undefined); // a failure is met at the next await of the set
    }
    await Promise.all(inFlight);
  } catch (error) {
    throw explained(error, file, totals);
  } finally {
    progress.stop();
    raw.destroy();
  }
  summary(totals, performance.now() - started);
  return totals.failed;
}

function sizeOf(file: string): number {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) throw new CliError(`there is no file ${file}`);
  if (stat.isDirectory()) throw new CliError(`${file} is a directory`);
  return stat.size;
}

function gunzipped(raw: NodeJS.ReadableStream): AsyncIterable<Buffer> {
  const gunzip = createGunzip({ chunkSize: 1 << 18 });
  raw.once('error', error => gunzip.destroy(error));
  return raw.pipe(gunzip);
}

/** Sends a batch again while the server says that it is busy: a load may take all of its queue. */
async function send(url: URL, batch: Batch): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await request(url, 'POST', { type: 'application/x-ndjson', bytes: batch.bytes });
    if (answer.status === 200) return answer;
    const busy = answer.status === 503 || answer.status === 504;
    if (!busy || attempt === ATTEMPTS_MAX) throw new CliError(problemText(answer));
    const waitMs = Math.max(answer.retryAfterMs, 100 * 2 ** attempt);
    await new Promise(resolve => setTimeout(resolve, waitMs));
  }
}

type Report = (line: number, detail: string) => void;

function errorPrinter(file: string): Report {
  let printed = 0;
  return (line, detail) => {
    printed++;
    if (printed <= ERRORS_PRINTED_MAX) process.stderr.write(`${file}: line ${line}: ${detail}\n`);
    if (printed === ERRORS_PRINTED_MAX) process.stderr.write('further errors are counted only\n');
  };
}

interface IngestBody {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  readonly errors: readonly { line: number; detail: string }[];
}

function add(totals: Totals, batch: Batch, answer: Answer, report: Report): void {
  const body = answer.body as IngestBody;
  totals.applied += body.applied;
  totals.stale += body.stale;
  totals.failed += body.failed;
  for (const { line, detail } of body.errors) report(batch.firstLine + line - 1, detail);
}

function explained(error: unknown, file: string, totals: Totals): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const so = `${grouped(totals.applied + totals.stale)} records were taken before it`;
  if (code.startsWith('Z_'))
    return new CliError(`${file} is broken or cut off: ${(error as Error).message}; ${so}`);
  if (code === 'EACCES') return new CliError(`${file} cannot be read: permission denied`);
  if (error instanceof CliError) return new CliError(`${error.message}\n${so}`);
  return error;
}

function summary({ applied, stale, failed }: Totals, tookMs: number): void {
  const all = applied + stale + failed;
  const seconds = tookMs / 1000;
  process.stdout.write(
    `${grouped(all)} records in ${seconds.toFixed(1)} s (${grouped(all / seconds)}/s): ` +
      `${grouped(applied)} applied, ${grouped(stale)} stale, ${grouped(failed)} failed\n`,
  );
}
