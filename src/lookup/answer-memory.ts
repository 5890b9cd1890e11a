/**
 * The memory that an answer is put together in: a gatherer's buffer beside the shared table where there is one and the
 * answer fits, else an ArrayBuffer of its own that grows.
 */
import { aligned } from '../views/flat-parts.js';
import { answerTooLarge } from '../views/json-writer.js';
import type { ColumnGatherer } from './column-gatherer.js';

const FIRST_BYTES = 64 * 1024;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

export class AnswerMemory {
  /** All views of the same memory; they are replaced when it grows. */
  bytes!: Buffer;
  data!: DataView;
  words!: Int32Array;
  float32s!: Float32Array;
  float64s!: Float64Array;

  readonly #limit: number;
  readonly #gatherer: ColumnGatherer | undefined;
  #isGatherers = false;

  constructor(limitBytes: number, gatherer: ColumnGatherer | undefined) {
    this.#limit = limitBytes;
    this.#gatherer = gatherer;
    this.#allocate(Math.min(FIRST_BYTES, limitBytes));
  }

  /** While the answer lies in its buffer. */
  protected get gatherer(): ColumnGatherer | undefined {
    return this.#isGatherers ? this.#gatherer : undefined;
  }

  /**
   * Room for a new answer of at least so many bytes; what the last one left there stays.
   * @throws HeadraceError `too-many-ids` when that passes the limit.
   */
  protected reserve(bytes: number): void {
    if (bytes > this.#limit) throw answerTooLarge(this.#limit);
    const isFit = this.bytes.length >= bytes && this.bytes.length <= KEPT_BYTES_MAX;
    if (isFit && this.#isGatherers === (this.#gatherer !== undefined)) return;
    this.#allocate(Math.max(Math.min(FIRST_BYTES, this.#limit), bytes));
  }

  /**
   * Room for so many bytes in all, of which the first `used` keep their content.
   * @throws HeadraceError `too-many-ids` when that passes the limit.
   */
  protected grow(bytes: number, used: number): void {
    if (bytes > this.#limit) throw answerTooLarge(this.#limit);
    const old = this.bytes;
    this.#allocate(Math.min(this.#limit, Math.max(bytes, 2 * old.length)));
    this.bytes.set(old.subarray(0, used));
  }

  #allocate(bytes: number): void {
    const gatherer = this.#gatherer;
    const size = aligned(bytes, 8);
    this.#isGatherers = gatherer !== undefined && size <= gatherer.capacity;
    if (gatherer !== undefined && this.#isGatherers) {
      this.#use(gatherer.memory, gatherer.offset, Math.min(gatherer.capacity, aligned(this.#limit, 8)));
    } else this.#use(new ArrayBuffer(size), 0, size);
  }

  #use(memory: ArrayBufferLike, offset: number, bytes: number): void {
    this.bytes = Buffer.from(memory, offset, bytes);
    this.data = new DataView(memory, offset, bytes);
    this.words = new Int32Array(memory, offset, bytes >> 2);
    this.float32s = new Float32Array(memory, offset, bytes >> 2);
    this.float64s = new Float64Array(memory, offset, bytes >> 3);
  }
}
