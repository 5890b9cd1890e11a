/**
 * Reads HTTP/1.1 responses from a byte stream cut anywhere: status, length, and the few headers that benchmarks look
 * at. Bodies are counted, not kept. Responses must carry `content-length` (both of headrace's fronts and every rival
 * send it); anything else is a `ProtocolError`, not a guess.
 */

const HEAD_BYTES_MAX = 64 * 1024;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

export interface ResponseHead {
  readonly status: number;
  readonly bodyBytes: number;
  /** '' when absent, as the following. */
  readonly cacheStatus: string;
  readonly serverTiming: string;
  /** The server closes the connection after this response. */
  readonly closes: boolean;
}

export class ResponseParser {
  readonly #onResponse: (head: ResponseHead) => void;
  /** Start of a head whose end has not come yet. */
  #pending: Buffer = NOTHING;
  #head: ResponseHead | undefined;
  #bodyBytesLeft = 0;

  /** `onResponse` is called when the last byte of a response was read. */
  constructor(onResponse: (head: ResponseHead) => void) {
    this.#onResponse = onResponse;
  }

  /** @throws ProtocolError when the bytes are no response; the parser is then of no further use. */
  push(chunk: Buffer): void {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = NOTHING;
    let at = 0;
    while (at < bytes.length) {
      if (this.#head === undefined) {
        const end = bytes.indexOf(END_OF_HEAD, at);
        if ((end === -1 ? bytes.length : end) - at > HEAD_BYTES_MAX) {
          throw new ProtocolError(`a response head is longer than ${HEAD_BYTES_MAX} bytes`);
        }
        if (end === -1) {
          this.#pending = bytes.subarray(at);
          return;
        }
        this.#begin(parseHead(bytes.toString('latin1', at, end)));
        at = end + END_OF_HEAD.length;
      } else {
        const taken = Math.min(this.#bodyBytesLeft, bytes.length - at);
        this.#bodyBytesLeft -= taken;
        at += taken;
        this.#endIfWhole(this.#head);
      }
    }
  }

  #begin(head: ResponseHead): void {
    // 1xx are interim: the response proper follows.
    if (head.status < 200) return;
    this.#head = head;
    this.#bodyBytesLeft = head.bodyBytes;
    this.#endIfWhole(head);
  }

  #endIfWhole(head: ResponseHead): void {
    if (this.#bodyBytesLeft > 0) return;
    this.#head = undefined;
    this.#onResponse(head);
  }
}

function parseHead(text: string): ResponseHead {
  const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: |\r|$)/.exec(text);
  if (statusLine === null) throw new ProtocolError(`not a status line: ${JSON.stringify(text.slice(0, 40))}`);
  const status = Number(statusLine[2]);
  let contentLength = '';
  let cacheStatus = '';
  let serverTiming = '';
  let connection = statusLine[1] === '0' ? 'close' : '';
  for (let at = endOfLine(text, 0) + 2; at < text.length; ) {
    const end = endOfLine(text, at);
    const colon = text.indexOf(':', at);
    if (colon === -1 || colon > end) throw new ProtocolError('a header line has no colon');
    // Comparing lengths first keeps most lines from being lower-cased.
    switch (colon - at) {
      case 'connection'.length:
        if (hasName(text, at, 'connection'))
          connection = text
            .slice(colon + 1, end)
            .trim()
            .toLowerCase();
        break;
      case 'cache-status'.length:
        if (hasName(text, at, 'cache-status')) cacheStatus = text.slice(colon + 1, end).trim();
        break;
      case 'server-timing'.length:
        if (hasName(text, at, 'server-timing')) serverTiming = text.slice(colon + 1, end).trim();
        break;
      case 'content-length'.length:
        if (hasName(text, at, 'content-length')) {
          const value = text.slice(colon + 1, end).trim();
          if (!/^[0-9]{1,15}$/.test(value) || (contentLength !== '' && contentLength !== value)) {
            throw new ProtocolError(`content-length is ${JSON.stringify(value.slice(0, 40))}`);
          }
          contentLength = value;
        }
        break;
      case 'transfer-encoding'.length:
        if (hasName(text, at, 'transfer-encoding')) throw new ProtocolError('the response is chunked');
        break;
    }
    at = end + 2;
  }
  const bodiless = status < 200 || status === 204 || status === 304;
  if (contentLength === '' && !bodiless) throw new ProtocolError('the response has no content-length');
  const bodyBytes = bodiless ? 0 : Number(contentLength);
  return { status, bodyBytes, cacheStatus, serverTiming, closes: connection === 'close' };
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\r\n', from);
  return end === -1 ? text.length : end;
}

function hasName(text: string, at: number, name: string): boolean {
  return text.slice(at, at + name.length).toLowerCase() === name;
}
