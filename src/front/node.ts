/**
 * The front on node:http: for platforms without a uWebSockets.js binary, and for the admin port.
 *
 * Pipelined requests are answered in order, whichever is ready first. A connection that is silent for `idleTimeoutMs`
 * is closed, unless it is the server that is waited for.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Problem, problemOf } from '../base/errors.js';
import type { Front, FrontLimits, FrontOptions, Handler } from './front.js';
import { NodeExchange, type NodeFrontState } from './node-exchange.js';
import { BAD_FRAMING, HANDLER_FAILED, pathTooLong } from './problem-answer.js';

const UNREADABLE = problemOf('bad-request', 'the request is not valid HTTP/1.1');
const SLOW_HEADERS = problemOf('bad-request', 'the request did not arrive in time');

/** @throws the system's error when the address cannot be listened on. */
export function openNodeFront(options: FrontOptions): Promise<Front> {
  const front = new NodeFront(options);
  return front.listen(options.host, options.port);
}

class NodeFront implements Front, NodeFrontState {
  readonly kind = 'node';
  readonly onError: (error: unknown) => void;
  readonly limits: FrontLimits;
  pending = 0;
  draining = false;

  readonly #server: Server;
  readonly #handler: Handler;
  /** Unfinished exchanges by connection. */
  readonly #exchanges = new WeakMap<Duplex, Set<NodeExchange>>();
  #port = 0;

  constructor(options: FrontOptions) {
    const { limits } = options;
    this.limits = limits;
    this.onError = options.onError;
    this.#handler = options.handler;
    this.#server = createServer({
      maxHeaderSize: limits.headerBytesMax,
      keepAliveTimeout: limits.idleTimeoutMs,
      headersTimeout: limits.idleTimeoutMs,
      // A load may take hours; `timeout` below ends it when it stalls.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.max(50, Math.min(1000, limits.idleTimeoutMs / 4)),
      noDelay: true,
    });
    this.#server.timeout = limits.idleTimeoutMs;
    this.#server.maxConnections = limits.connectionsMax;
    this.#server.on('connection', socket => this.#accept(socket));
    this.#server.on('request', (req, res) => this.#serve(req, res));
    // An expectation that is not known is no reason to refuse (RFC 9110, 10.1.1); node would, with an empty 417.
    this.#server.on('checkExpectation', (req, res) => this.#serve(req, res));
    this.#server.on('timeout', socket => this.#idle(socket));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#refuse(error, socket));
  }

  get port(): number {
    return this.#port;
  }

  listen(host: string, port: number): Promise<Front> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', this.onError);
        this.#port = (this.#server.address() as AddressInfo).port;
        resolve(this);
      });
    });
  }

  stopAccepting(): void {
    this.draining = true;
    this.#server.close();
  }

  close(): Promise<void> {
    this.draining = true;
    return new Promise(resolve => {
      // Called back with an error, which does not matter, when the server was closed already.
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #accept(socket: Socket): void {
    const exchanges = new Set<NodeExchange>();
    this.#exchanges.set(socket, exchanges);
    socket.once('close', () => {
      for (const exchange of exchanges) exchange.disconnected();
      exchanges.clear();
    });
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const exchange = new NodeExchange(this, req, res);
    const exchanges = this.#exchanges.get(req.socket);
    exchanges?.add(exchange);
    res.once('finish', () => {
      exchanges?.delete(exchange);
      exchange.finished();
    });
    try {
      const { pathBytesMax } = this.limits;
      const coding = req.headers['transfer-encoding'];
      if (coding !== undefined && coding.toLowerCase() !== 'chunked') exchange.refuse(BAD_FRAMING);
      else if (exchange.path.length + exchange.query.length > pathBytesMax) {
        exchange.fail(pathTooLong(pathBytesMax));
      } else this.#handler(exchange);
    } catch (error) {
      this.onError(error);
      exchange.fail(HANDLER_FAILED);
    }
    exchange.settle();
  }

  #idle(socket: Socket): void {
    for (const exchange of this.#exchanges.get(socket) ?? []) if (exchange.waitsForServer) return;
    socket.destroy();
  }

  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const unanswered = this.#exchanges.get(socket)?.size ?? 0;
    // An answer here would go before, or into, one that is still to be sent.
    if (!socket.writable || unanswered > 0) socket.destroy();
    else socket.end(refusal(error.code, this.limits.headerBytesMax), () => socket.destroy());
  }
}

function refusal(code: string | undefined, headerBytesMax: number): string {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const problem = problemOf('headers-too-large', `the headers have more than ${headerBytesMax} bytes`);
    return rawAnswer('431 Request Header Fields Too Large', problem);
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return rawAnswer('408 Request Timeout', SLOW_HEADERS);
  return rawAnswer('400 Bad Request', UNREADABLE);
}

function rawAnswer(status: string, problem: Problem): string {
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${status}`,
    'content-type: application/problem+json',
    `content-length: ${body.length}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
