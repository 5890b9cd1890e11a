/**
 * `headrace load`: sends a file of records, a JSON object a line, gzipped or not.
 *
 * The file is read as a stream and sent in batches of whole lines, a few at a time, so that memory does not grow with
 * it and a broken connection costs one batch. A bad line is reported by its number in the file, and the load goes on.
 */
import { createReadStream, type ReadStream, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { type Answer, CliError, isProblem, problemText, request, serverUrl, viewPath } from './client.js';
import { grouped, rateText, timeText } from './figures.js';
import { type Batch, batchesOf, LINE_BYTES_MAX } from './line-batches.js';
import { openProgress, type Progress } from './progress.js';

export interface LoadOptions {
  readonly view: string;
  readonly url: string;
  readonly flat?: boolean;
}

interface Totals {
  applied: number;
  stale: number;
  failed: number;
  /** Of the failed lines, those whose number and fault were printed. */
  shown: number;
  /** Of those, the ones without "features". */
  bare: number;
}

const IN_FLIGHT_MAX = 3;
const ATTEMPTS_MAX = 5;
const ERRORS_SHOWN_MAX = 100;
/** Of what is wrong with a line: a line may have every fault there is. */
const DETAIL_LENGTH_MAX = 200;
const READ_BYTES = 1 << 18;
const NEWLINE = 10;

/** Resolves to the number of failed lines. */
export async function load(file: string, options: LoadOptions): Promise<number> {
  const url = serverUrl(options.url);
  url.pathname = `${viewPath(options.view)}/records`;
  if (options.flat === true) url.searchParams.set('flat', 'true');
  const total = sizeOf(file);
  const source = open(file);
  const started = performance.now();
  const progress = openProgress(process.stderr, () => performance.now());
  const run = new LoadRun(file, progress);
  try {
    await run.sendAll(url, source, total);
  } catch (error) {
    throw explained(error, file, run.totals);
  } finally {
    progress.stop();
    source.raw.destroy();
  }
  process.stdout.write(`${summaryText(run.totals, performance.now() - started)}\n`);
  if (run.totals.bare > 0 && options.flat !== true) process.stderr.write(FLAT_HINT);
  return run.totals.failed;
}

const FLAT_HINT =
  'headrace: lines have no "features"; where the features are keys of the line itself, load with --flat\n';

interface Sent {
  readonly batch: Batch;
  readonly answer: Answer;
  /** How far the file had been read when the batch was cut. */
  readonly position: number;
}

/** One load on its way. Batches are settled in the order of the file, so that errors come by line. */
class LoadRun {
  readonly totals: Totals = { applied: 0, stale: 0, failed: 0, shown: 0, bare: 0 };
  readonly #file: string;
  readonly #progress: Progress;
  readonly #waiting: Promise<Sent>[] = [];

  constructor(file: string, progress: Progress) {
    this.#file = file;
    this.#progress = progress;
  }

  async sendAll(url: URL, source: Source, total: number): Promise<void> {
    try {
      for await (const batch of batchesOf(source.bytes)) {
        if (batch.firstLine === 1 && url.search !== '') refuseNested(batch.bytes, this.#file);
        while (this.#waiting.length >= IN_FLIGHT_MAX) await this.#settleNext(total);
        const position = source.position();
        const sent = send(url, batch).then(answer => ({ batch, answer, position }));
        sent.catch(() => undefined); // is met when its turn comes
        this.#waiting.push(sent);
      }
    } catch (error) {
      // What is on its way already is counted, so that the user reads what was taken.
      while (this.#waiting.length > 0) await this.#settleNext(total).catch(() => undefined);
      throw error;
    }
    while (this.#waiting.length > 0) await this.#settleNext(total);
  }

  async #settleNext(total: number): Promise<void> {
    const sent = await this.#waiting.shift();
    if (sent === undefined) return;
    const { batch, answer, position } = sent;
    const { applied, stale, failed, errors } = answer.body as IngestBody;
    const { totals } = this;
    totals.applied += applied;
    totals.stale += stale;
    totals.failed += failed + batch.tooLong.length;
    const faults = errors.map(({ line, detail }) => ({ line: batch.firstLine + line - 1, detail }));
    for (const line of batch.tooLong)
      faults.push({ line, detail: `is longer than ${LINE_BYTES_MAX >> 20} MiB` });
    for (const { line, detail } of faults.sort((a, b) => a.line - b.line)) this.#show(line, detail);
    this.#progress.update(position, total, totals.applied + totals.stale + totals.failed);
  }

  #show(line: number, detail: string): void {
    if (this.totals.shown === ERRORS_SHOWN_MAX) return;
    this.totals.shown++;
    if (detail.includes('features is missing')) this.totals.bare++;
    const text = detail.length > DETAIL_LENGTH_MAX ? `${detail.slice(0, DETAIL_LENGTH_MAX)}…` : detail;
    this.#progress.note(`${this.#file}: line ${line}: ${text}`);
  }
}

/** No feature is an object: with --flat, all of such a line would be left out, and every feature be null. */
function refuseNested(bytes: Uint8Array, file: string): void {
  const end = bytes.indexOf(NEWLINE);
  let line: unknown;
  try {
    line = JSON.parse(Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString());
  } catch {
    return; // The server says what is wrong with it.
  }
  if (typeof line !== 'object' || line === null || !('features' in line)) return;
  const { features } = line;
  if (typeof features === 'object' && features !== null && !Array.isArray(features))
    throw new CliError(`${file}: line 1 has its features under "features"; load without --flat`);
}

function sizeOf(file: string): number {
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) throw new CliError(`${file} is a directory`);
    return stat.size;
  } catch (error) {
    throw unreadable(error, file) ?? error;
  }
}

function unreadable(error: unknown, file: string): CliError | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new CliError(`there is no file ${file}`);
  if (code === 'EACCES') return new CliError(`${file} cannot be read: permission denied`);
  if (error instanceof Error && 'syscall' in error && 'path' in error)
    return new CliError(`${file} cannot be read: ${error.message}`);
  return undefined;
}

interface Source {
  readonly raw: ReadStream;
  readonly bytes: AsyncIterable<Buffer>;
  /** Bytes of the file behind what was given out so far. */
  position(): number;
}

function open(file: string): Source {
  const raw = createReadStream(file, { highWaterMark: READ_BYTES });
  if (!file.endsWith('.gz')) return { raw, bytes: raw, position: () => raw.bytesRead };
  const gunzip = createGunzip({ chunkSize: READ_BYTES });
  raw.once('error', error => gunzip.destroy(error));
  return { raw, bytes: raw.pipe(gunzip), position: () => gunzip.bytesWritten };
}

/** Sends a batch again while the server says that it is busy: a load may take all of its queue. */
async function send(url: URL, { bytes }: Batch): Promise<Answer> {
  if (bytes.length === 0) return { status: 200, retryAfterMs: 0, body: NOTHING };
  for (let attempt = 1; ; attempt++) {
    const answer = await request(url, 'POST', { type: 'application/x-ndjson', bytes });
    if (answer.status === 200) return answer;
    const busy = answer.status === 503 || answer.status === 504;
    if (!busy || attempt === ATTEMPTS_MAX) throw new CliError(refusalText(answer, url));
    const waitMs = Math.max(answer.retryAfterMs, 100 * 2 ** attempt);
    await new Promise(resolve => setTimeout(resolve, waitMs));
  }
}

function refusalText(answer: Answer, url: URL): string {
  const text = problemText(answer);
  if (!isProblem(answer, 'view-not-found')) return text;
  return `${text}; declare it first: PUT ${url.origin}${url.pathname.replace(/\/records$/, '')}`;
}

interface IngestBody {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  readonly errors: readonly { line: number; detail: string }[];
}

const NOTHING: IngestBody = { applied: 0, stale: 0, failed: 0, errors: [] };

const GZIP_FAULTS: Readonly<Record<string, string>> = {
  Z_BUF_ERROR: 'ends in the middle: it was cut off',
  Z_DATA_ERROR: 'is broken, or not gzipped although its name ends in .gz',
};

function explained(error: unknown, file: string, { applied, stale }: Totals): unknown {
  const taken = applied + stale;
  const so = taken === 0 ? '' : `\n${grouped(taken)} records before that were loaded`;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const fault = GZIP_FAULTS[code];
  if (fault !== undefined) return new CliError(`${file} ${fault}${so}`);
  const found = error instanceof CliError ? error : unreadable(error, file);
  return found === undefined ? error : new CliError(found.message + so);
}

function summaryText({ applied, stale, failed, shown }: Totals, tookMs: number): string {
  const all = applied + stale + failed;
  if (all === 0) return '0 records: the file is empty';
  const hidden = failed > shown ? ` (the first ${grouped(shown)} are shown)` : '';
  return (
    `${grouped(all)} record${all === 1 ? '' : 's'} in ${timeText(tookMs)} (${rateText(all, tookMs)}): ` +
    `${grouped(applied)} applied, ${grouped(stale)} stale, ${grouped(failed)} failed${hidden}`
  );
}
