/**
 * The front on node:http: for platforms without a uWebSockets.js binary, and for the admin port.
 *
 * Pipelined requests are answered in order, whichever is ready first. A connection that is silent for `idleTimeoutMs`
 * is closed, unless it is the server that is waited for.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Problem, problemOf } from '../base/errors.js';
import { problemStatus } from './cache-status.js';
import type { Front, FrontLimits, FrontOptions, Handler } from './front.js';
import { NodeExchange, type NodeFrontState } from './node-exchange.js';
import { BAD_FRAMING, HANDLER_FAILED, pathTooLong } from './problem-answer.js';

const UNREADABLE = problemOf('bad-request', 'the request is not valid HTTP/1.1');
const NO_HOST = problemOf('bad-request', 'the host header is missing');
const SLOW_HEADERS = problemOf('bad-request', 'the request did not arrive in time');

/** @throws the system's error when the address cannot be listened on. */
export function openNodeFront(options: FrontOptions): Promise<Front> {
  const front = new NodeFront(options);
  return front.listen(options.host, options.port);
}

interface Connection {
  /** Not finished yet. */
  readonly exchanges: Set<NodeExchange>;
  /** A request was refused: what comes behind it is not served. */
  refused: boolean;
}

class NodeFront implements Front, NodeFrontState {
  readonly kind = 'node';
  readonly onError: (error: unknown) => void;
  readonly onProblem: FrontOptions['onProblem'] | undefined;
  readonly limits: FrontLimits;
  readonly cacheStatus: boolean;
  pending = 0;
  draining = false;

  readonly #server: Server;
  readonly #handler: Handler;
  readonly #connections = new WeakMap<Duplex, Connection>();
  #port = 0;

  constructor(options: FrontOptions) {
    const { limits } = options;
    this.limits = limits;
    this.onError = options.onError;
    this.onProblem = options.onProblem;
    this.cacheStatus = options.cacheStatus === true;
    this.#handler = options.handler;
    this.#server = createServer({
      maxHeaderSize: limits.headerBytesMax,
      keepAliveTimeout: limits.idleTimeoutMs,
      headersTimeout: limits.idleTimeoutMs,
      // A load may take hours; `timeout` below ends it when it stalls.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.ceil(Math.min(1000, limits.idleTimeoutMs / 4)),
      noDelay: true,
      // Refused here, with a problem.
      requireHostHeader: false,
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
    // Not http's own `close`: it destroys connections whose answer is written but not yet taken by the system.
    NetServer.prototype.close.call(this.#server);
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
    const { exchanges } = this.#connectionOf(socket);
    socket.once('close', () => {
      for (const exchange of exchanges) exchange.disconnected();
      exchanges.clear();
    });
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const connection = this.#connectionOf(req.socket);
    if (connection.refused) return;
    const exchange = new NodeExchange(this, req, res);
    connection.exchanges.add(exchange);
    res.once('finish', () => {
      connection.exchanges.delete(exchange);
      exchange.finished();
    });
    try {
      const { pathBytesMax } = this.limits;
      const doubt = doubtOf(req);
      if (doubt !== undefined) {
        connection.refused = true;
        exchange.refuse(doubt);
      } else if (exchange.path.length + exchange.query.length > pathBytesMax) {
        exchange.fail(pathTooLong(pathBytesMax));
      } else this.#handler(exchange);
    } catch (error) {
      this.onError(error);
      exchange.fail(HANDLER_FAILED);
    }
    exchange.settle();
  }

  #idle(socket: Socket): void {
    for (const exchange of this.#connectionOf(socket).exchanges) if (exchange.waitsForServer) return;
    socket.destroy();
  }

  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const [first, ...others] = this.#connectionOf(socket).exchanges;
    // The answer must not be taken for that of an earlier request, nor go into one that is being sent.
    const ours = others.length === 0 && (first === undefined || first.receiving);
    if (!socket.writable || !ours) socket.destroy();
    else socket.end(this.#refusal(error.code), () => socket.destroy());
  }

  #refusal(code: string | undefined): string {
    const { headerBytesMax } = this.limits;
    if (code === 'HPE_HEADER_OVERFLOW') {
      const problem = problemOf('headers-too-large', `the headers have more than ${headerBytesMax} bytes`);
      return this.#rawAnswer('431 Request Header Fields Too Large', problem);
    }
    if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return this.#rawAnswer('408 Request Timeout', SLOW_HEADERS);
    return this.#rawAnswer('400 Bad Request', UNREADABLE);
  }

  #rawAnswer(status: string, problem: Problem): string {
    this.onProblem?.(problem);
    return rawAnswer(status, problem, this.cacheStatus);
  }

  #connectionOf(socket: Duplex): Connection {
    let connection = this.#connections.get(socket);
    if (connection === undefined) {
      connection = { exchanges: new Set(), refused: false };
      this.#connections.set(socket, connection);
    }
    return connection;
  }
}

/** What node:http lets pass and the other front does not. */
function doubtOf(req: IncomingMessage): Problem | undefined {
  const { host, 'transfer-encoding': coding } = req.headers;
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return BAD_FRAMING;
  return host === undefined && req.httpVersion === '1.1' ? NO_HOST : undefined;
}

function rawAnswer(status: string, problem: Problem, cacheStatus: boolean): string {
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${status}`,
    'content-type: application/problem+json',
    `content-length: ${body.length}`,
    ...(cacheStatus ? [problemStatus(problem).join(': ')] : []),
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
