/**
 * One streamed load: bytes in, whole lines out to the lanes that own their keys, and the sums of what became of them.
 *
 *   chunks ──► lines ──► a buffer per lane ──► Lanes.ingest, a buffer at a time
 *
 * Memory is bounded: a line by `lineBytesMax`, each lane by one buffer being filled and `IN_FLIGHT_MAX` on their way;
 * past that `push` says no, and the caller stops reading until `onDrain`.
 */
import { HeadraceError } from '../base/errors.js';
import { idProblem } from '../base/keys.js';
import { LINE_KEY, type VectorLoad } from '../caches/embeddings/vector-line.js';
import type { TableReader } from '../l1/table-reader.js';
import type { LaneCalls } from '../lanes/lanes.js';
import type { IngestResult, LineError } from '../lanes/messages.js';
import { readRecordId } from '../views/record-id.js';
import type { View } from '../views/schema.js';

export interface IngestTotals {
  applied: number;
  stale: number;
  failed: number;
  /** The first `ERRORS_MAX`, by line. */
  errors: LineError[];
}

export interface IngestOptions {
  readonly view: View;
  readonly flat: boolean;
  /** The lines are vectors, for a cache of embeddings. */
  readonly vectors?: VectorLoad;
  readonly lineBytesMax: number;
  /** Told of the ids that go to a lane; what it returns is called when the lane has answered, or has failed. */
  readonly onWrite?: (ids: readonly string[]) => () => void;
  /** Until when a buffer of lines that is sent now is to be durable. */
  readonly deadlineMs: () => number;
  /** There is room again. */
  readonly onDrain: () => void;
  /**
   * The load has failed before `end` was called, and what was on its way is settled: nothing more is taken, so the
   * client need not send the rest. Called once, with what `end` would reject with.
   */
  readonly onFailure: (error: unknown) => void;
}

const ERRORS_MAX = 100;
const BUFFER_BYTES = 1 << 18;
const BUFFER_LINES = 8192;
const CARRY_BYTES = 4096;
const IN_FLIGHT_MAX = 3;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/** Lines on their way to one lane. */
class LaneBuffer {
  bytes = new Uint8Array(0);
  used = 0;
  lineNumbers = new Uint32Array(BUFFER_LINES);
  lines = 0;
  /** Of the lines, where they are wanted. */
  ids: string[] = [];
  inFlight = 0;

  /** True when the line does not fit behind what is there. */
  isFullFor(length: number): boolean {
    return this.lines === BUFFER_LINES || (this.lines > 0 && this.used + length > this.bytes.length);
  }

  add(line: Uint8Array, lineNumber: number): void {
    if (this.bytes.length < this.used + line.length)
      this.bytes = new Uint8Array(Math.max(BUFFER_BYTES, line.length));
    this.bytes.set(line, this.used);
    this.used += line.length;
    this.lineNumbers[this.lines++] = lineNumber;
  }

  /** The lines in arrays of their own size: such are handed over to the lane, larger ones would be cloned whole. */
  take(): { chunk: Uint8Array; lineNumbers: Uint32Array; ids: readonly string[] } {
    const chunk = this.bytes.slice(0, this.used);
    const lineNumbers = this.lineNumbers.slice(0, this.lines);
    const { ids } = this;
    if (this.bytes.length > BUFFER_BYTES) this.bytes = new Uint8Array(0);
    this.used = 0;
    this.lines = 0;
    this.ids = [];
    return { chunk, lineNumbers, ids };
  }
}

export class Ingest {
  readonly #table: TableReader;
  readonly #lanes: LaneCalls;
  readonly #options: IngestOptions;
  readonly #buffers: LaneBuffer[];
  readonly #totals: IngestTotals = { applied: 0, stale: 0, failed: 0, errors: [] };
  readonly #pending = new Set<Promise<void>>();
  /** Begins with the beginning of a line whose end has not come yet: one array, so that tiny chunks cost no more. */
  #carry: Uint8Array = new Uint8Array(0);
  #carried = 0;
  #line = 1;
  /** Within a line that is too long. */
  #skipping = false;
  #failure: unknown;
  #hasEnded = false;

  constructor(table: TableReader, lanes: LaneCalls, options: IngestOptions) {
    this.#table = table;
    this.#lanes = lanes;
    this.#options = options;
    this.#buffers = Array.from({ length: lanes.count }, () => new LaneBuffer());
  }

  /** Takes a chunk, which stays the caller's. False: stop reading until `onDrain`. */
  push(chunk: Uint8Array): boolean {
    if (this.#failure !== undefined) return true;
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#endLine(chunk.subarray(start, end + 1));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return this.#hasRoom();
  }

  /**
   * The last chunk has come. Resolves when every line is durable or has failed.
   * @throws HeadraceError when a lane could not take its lines; its detail says how many had been taken.
   */
  async end(): Promise<IngestTotals> {
    this.#hasEnded = true;
    if (this.#carried > 0) this.#endLine(new Uint8Array(0));
    for (const lane of this.#buffers.keys()) this.#send(lane);
    await Promise.all(this.#pending);
    if (this.#failure !== undefined) throw this.#explained(this.#failure);
    this.#keepFirstErrors();
    return this.#totals;
  }

  /** The client went away: what was handed to a lane still happens. */
  abort(): void {
    this.#carried = 0;
    for (const buffer of this.#buffers) buffer.take();
  }

  #keep(part: Uint8Array): void {
    if (this.#skipping) return;
    const carried = this.#carried + part.length;
    const { lineBytesMax } = this.#options;
    // A carriage return behind the longest line may still be followed by its line feed.
    if (carried > lineBytesMax + 1) return this.#tooLong();
    if (carried > this.#carry.length) {
      const grown = new Uint8Array(
        Math.min(lineBytesMax + 1, Math.max(carried, 2 * this.#carry.length, CARRY_BYTES)),
      );
      grown.set(this.#carry.subarray(0, this.#carried));
      this.#carry = grown;
    }
    this.#carry.set(part, this.#carried);
    this.#carried = carried;
  }

  #tooLong(): void {
    this.#fail(this.#line, `is longer than ${this.#options.lineBytesMax} bytes (HEADRACE_LINE_BYTES_MAX)`);
    this.#skipping = true;
    this.#carried = 0;
  }

  /** @param rest the line from where `carry` ends, with its newline. */
  #endLine(rest: Uint8Array): void {
    let line = rest;
    if (this.#skipping) line = new Uint8Array(0);
    else if (this.#carried > 0) line = Buffer.concat([this.#carry.subarray(0, this.#carried), rest]);
    this.#carried = 0;
    if (contentLength(line) > this.#options.lineBytesMax) this.#tooLong();
    else if (!isBlank(line)) this.#route(line);
    this.#skipping = false;
    this.#line++;
  }

  #route(line: Uint8Array): void {
    const isAnyLane = this.#lanes.count === 1;
    const id = isAnyLane && this.#options.onWrite === undefined ? undefined : this.#idOf(line);
    const lane = isAnyLane || id === undefined ? 0 : this.#laneOf(id);
    const buffer = this.#buffers[lane];
    if (buffer === undefined) return;
    if (buffer.isFullFor(line.length)) this.#send(lane);
    buffer.add(line, this.#line);
    if (id !== undefined && this.#options.onWrite !== undefined) buffer.ids.push(id);
  }

  /** A line without a readable id goes to any lane: it will say what is wrong with it. */
  #idOf(line: Uint8Array): string | undefined {
    const { vectors } = this.#options;
    const given = readRecordId(line, 0, line.length, vectors === undefined ? 'id' : LINE_KEY);
    if (given === undefined) return undefined;
    const id = vectors === undefined ? given : vectors.prefix + given;
    return idProblem(id) === undefined ? id : undefined;
  }

  #laneOf(id: string): number {
    this.#table.key(this.#options.view.slot, id);
    return this.#lanes.laneOf(this.#table.shard);
  }

  #send(lane: number): void {
    const buffer = this.#buffers[lane];
    if (buffer === undefined || buffer.lines === 0) return;
    const { chunk, lineNumbers, ids } = buffer.take();
    if (this.#failure !== undefined) return;
    const { view, flat, vectors, onDrain, onWrite, deadlineMs } = this.#options;
    const onWritten = onWrite?.(ids);
    buffer.inFlight++;
    const sent = this.#lanes.ingest(lane, view, chunk, lineNumbers, flat, deadlineMs(), vectors).then(
      result => this.#add(result),
      error => this.#stop(error),
    );
    const tracked = sent.then(() => {
      onWritten?.();
      buffer.inFlight--;
      this.#pending.delete(tracked);
      if (this.#hasRoom()) onDrain();
    });
    this.#pending.add(tracked);
  }

  #stop(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.abort();
    // Called within one of the pending: it counts as settled before this goes on.
    void Promise.all(this.#pending).then(() => {
      if (!this.#hasEnded) this.#options.onFailure(this.#explained(error));
    });
  }

  #hasRoom(): boolean {
    return this.#failure !== undefined || this.#buffers.every(buffer => buffer.inFlight < IN_FLIGHT_MAX);
  }

  #add({ applied, stale, failed, errors }: IngestResult): void {
    this.#totals.applied += applied;
    this.#totals.stale += stale;
    this.#totals.failed += failed;
    this.#note(errors);
  }

  /** Buffers come back in any order, each with its own first errors. */
  #note(errors: readonly LineError[]): void {
    this.#totals.errors.push(...errors);
    if (this.#totals.errors.length > 4 * ERRORS_MAX) this.#keepFirstErrors();
  }

  #keepFirstErrors(): void {
    const { errors } = this.#totals;
    errors.sort((a, b) => a.line - b.line);
    errors.length = Math.min(errors.length, ERRORS_MAX);
  }

  #fail(line: number, detail: string): void {
    this.#totals.failed++;
    this.#note([{ line, detail }]);
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof HeadraceError)) return error;
    const { applied, stale } = this.#totals;
    return new HeadraceError(error.code, `${error.message}; ${applied + stale} records were taken before it`);
  }
}

/** Of a line without its line feed or carriage return and line feed. */
function contentLength(line: Uint8Array): number {
  const end = line.at(-1) === NEWLINE ? line.length - 1 : line.length;
  return line[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
}

function isBlank(line: Uint8Array): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return false;
  return true;
}
