/** A client that sends exactly the bytes it is given, well-formed or not, and splits what comes back into answers. */
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export class RawClient {
  readonly socket: Socket;
  closed = false;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  /** Fewer bytes than this cannot hold the next answer. */
  #bytesWanted = 0;
  #answersTo: string[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', chunk => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#changed();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#changed();
    });
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host, noDelay: true });
    const client = new RawClient(socket);
    await new Promise<void>(resolve => {
      socket.once('connect', resolve);
      socket.once('close', () => resolve());
    });
    return client;
  }

  /** Resolves when the system has taken the bytes, or the connection is gone. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise(resolve => {
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve());
    });
  }

  /** Sends a request without a body. */
  request(target: string, method = 'GET', headers = ''): Promise<void> {
    this.#answersTo.push(method);
    return this.send(`${method} ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
  }

  /** The next answer, or `undefined` when the connection closes before it is whole. */
  async answer(method = this.#answersTo.shift() ?? 'GET'): Promise<Answer | undefined> {
    let answer = this.#take(method);
    while (answer === undefined && !this.closed) {
      await this.#change();
      answer = this.#take(method);
    }
    // 100 Continue goes before the answer it announces.
    return answer?.status === 100 ? this.answer(method) : answer;
  }

  async answers(count: number): Promise<(Answer | undefined)[]> {
    const all: (Answer | undefined)[] = [];
    for (let n = 0; n < count; n += 1) all.push(await this.answer());
    return all;
  }

  async whenClosed(): Promise<void> {
    while (!this.closed) await this.#change();
  }

  async whenReceived(bytes: number): Promise<void> {
    while (this.#bytes < bytes && !this.closed) await this.#change();
  }

  /** What came and was not taken as an answer. */
  get rest(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  destroy(): void {
    this.socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise(resolve => this.#waiting.add(resolve));
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #take(method: string): Answer | undefined {
    if (this.#bytes < this.#bytesWanted && !this.closed) return undefined;
    const received = Buffer.concat(this.#chunks.splice(0));
    this.#chunks.push(received);
    const end = received.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const { status, headers } = headOf(received.toString('latin1', 0, end));
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    // The native refusals of uWebSockets.js have no length: they end with the connection.
    const length = headers.get('content-length');
    if (!bodiless && length === undefined && !this.closed) return undefined;
    const begin = end + 4;
    const bytes = bodiless ? 0 : Number(length ?? received.length - begin);
    this.#bytesWanted = begin + bytes;
    if (received.length < begin + bytes) return undefined;
    this.#chunks[0] = received.subarray(begin + bytes);
    this.#bytes -= begin + bytes;
    this.#bytesWanted = 0;
    return { status, headers, body: received.toString('utf8', begin, begin + bytes) };
  }
}

function headOf(text: string): { status: number; headers: Map<string, string> } {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]), headers };
}
