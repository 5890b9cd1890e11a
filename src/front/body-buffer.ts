/** A body that is collected whole: one growing array, so that many tiny chunks cost no more than a few large ones. */
import type { Exchange } from './front.js';
import { CONTENT_LENGTH } from './header-names.js';
import { bodyTooLarge } from './problem-answer.js';

const FIRST_BYTES = 4096;

export class BodyBuffer {
  readonly #limitBytes: number;
  #bytes: Uint8Array;
  #used = 0;

  /** `expectedBytes` is only a client's word: it saves copies, but is not believed beyond 64 KiB. */
  constructor(limitBytes: number, expectedBytes: number) {
    const first = Math.max(FIRST_BYTES, Math.min(expectedBytes, 65_536));
    this.#limitBytes = limitBytes;
    this.#bytes = new Uint8Array(Math.min(first, limitBytes));
  }

  /** Copies the chunk; false, and nothing copied, when the body would pass the limit. */
  append(chunk: Uint8Array): boolean {
    const used = this.#used + chunk.byteLength;
    if (used > this.#limitBytes) return false;
    if (used > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.min(this.#limitBytes, Math.max(used, this.#bytes.byteLength * 2)));
      grown.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.#used);
    this.#used = used;
    return true;
  }

  /** The body; nothing may be appended afterwards. */
  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }
}

/** `Exchange.readBody`, by way of `streamBody`. */
export function readWhole(
  exchange: Exchange,
  limitBytes: number,
  done: (body: Uint8Array, exchange: Exchange) => void,
): void {
  const expectedBytes = Number(exchange.header(CONTENT_LENGTH));
  if (expectedBytes > limitBytes) {
    exchange.fail(bodyTooLarge(limitBytes));
    return;
  }
  const buffer = new BodyBuffer(limitBytes, expectedBytes);
  exchange.streamBody({
    chunk(bytes) {
      if (!buffer.append(bytes)) exchange.fail(bodyTooLarge(limitBytes));
    },
    end: () => done(buffer.take(), exchange),
    abort() {},
  });
}
