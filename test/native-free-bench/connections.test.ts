/** The open loop over real sockets, with servers that break, close, stay silent or talk nonsense. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type Address, Connections } from '../../native-free-bench/load/connections.js';
import { type LoadRequest, realPace, runOpenLoop } from '../../native-free-bench/load/open-loop.js';
import { Tally } from '../../native-free-bench/load/tally.js';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-status: headrace; hit\r\n\r\nok';
const REQUEST: LoadRequest = { bytes: Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'), isRead: true };
const TIMEOUT_MS = 100;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Calls `onRequest` with the number of the request, from 1, counted over all connections. */
async function listen(onRequest: (socket: Socket, n: number) => void): Promise<Address> {
  let requests = 0;
  const server = createServer(socket => {
    socket.on('data', () => onRequest(socket, ++requests));
    socket.on('error', () => {});
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { host: '127.0.0.1', port: address.port };
}

async function load(address: Address, arrivals: number, connections = 4): Promise<Tally> {
  const transport = await Connections.open(address, connections, TIMEOUT_MS);
  const tally = new Tally();
  await runOpenLoop({
    arrivals: Array.from({ length: arrivals }, (_, i) => i / 10),
    nextRequest: () => REQUEST,
    transport,
    pace: realPace,
    tally,
    waitingMax: arrivals,
    drainMs: 10_000,
  });
  expect(tally.responses + tally.timeouts + tally.broken + tally.dropped).toBe(arrivals);
  expect(tally.latencyUs.totalCount).toBe(arrivals - tally.dropped);
  return tally;
}

test('every arrival is answered and hits are counted', async () => {
  const address = await listen(socket => socket.write(OK));
  const tally = await load(address, 500);
  expect(tally).toMatchObject({
    responses: 500,
    errors: 0,
    hits: 500,
    misses: 0,
    hitRatio: 1,
    bodyBytes: 1_000,
  });
});

test('a connection that the server breaks costs one request and is opened again', async () => {
  const address = await listen((socket, n) => {
    if (n % 10 === 0) socket.destroy();
    else socket.write(OK);
  });
  const tally = await load(address, 300);
  expect(tally.broken).toBe(30);
  expect(tally.responses).toBe(270);
});

test('a response that announces the end of its connection is no error', async () => {
  const closing = OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n');
  const address = await listen((socket, n) => {
    if (n % 7 === 0) socket.end(closing);
    else socket.write(OK);
  });
  const tally = await load(address, 200);
  expect(tally).toMatchObject({ responses: 200, errors: 0 });
});

test('a request that is never answered is a timeout, and its wait a latency', async () => {
  const address = await listen((socket, n) => {
    if (n !== 5) socket.write(OK);
  });
  const tally = await load(address, 50);
  expect(tally).toMatchObject({ responses: 49, timeouts: 1, broken: 0 });
  expect(tally.latencyUs.maxValue).toBeGreaterThanOrEqual(TIMEOUT_MS * 1000);
});

test('a server that goes away fails what is left, and the run ends', async () => {
  const address = await listen((socket, n) => {
    if (n > 20) {
      for (const server of servers.splice(0)) server.close();
      socket.destroy();
    } else socket.write(OK);
  });
  const transport = await Connections.open(address, 1, TIMEOUT_MS);
  const tally = new Tally();
  const nextRequest = () => REQUEST;
  const arrivals = Array.from({ length: 60 }, () => 0);
  await runOpenLoop({
    arrivals,
    nextRequest,
    transport,
    pace: realPace,
    tally,
    waitingMax: 100,
    drainMs: 300,
  });
  expect(tally).toMatchObject({ responses: 20, broken: 1, dropped: 39 });
});

test('a stream out of step breaks the connection', async () => {
  const address = await listen(socket => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
  const tally = await load(address, 5, 1);
  expect(tally).toMatchObject({ responses: 0, broken: 5 });
});

test('an address that nobody listens on is an error at once', async () => {
  const address = await listen(() => {});
  const [server] = servers.splice(0);
  server?.close();
  if (server !== undefined) await once(server, 'close');
  await expect(Connections.open(address, 2, TIMEOUT_MS)).rejects.toThrow(/ECONNREFUSED/);
});
