/**
 * A server that answers as the HTTP contract says and keeps nothing: every document exists and has one feature. Enough
 * for the commands to run against. Started as a process of its own by tests; takes a status to answer GET with.
 */
import { createServer } from 'node:http';

const getStatus = Number(process.argv[2] ?? 200);
const HIT = 'headrace; hit; ttl=30; detail=L1';
const TIMING = 'parse;dur=0.004, l1;dur=0.002, encode;dur=0.003, total;dur=0.012';

const server = createServer((request, response) => {
  let lines = 0;
  request.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === 0x0a) lines += 1;
  });
  request.on('end', () => {
    const { method, url = '' } = request;
    const isIngest = method === 'POST' && url.endsWith('/records');
    const body = JSON.stringify(
      isIngest ? { applied: lines, stale: 0, failed: 0, errors: [] } : { features: { f0: 0.5 } },
    );
    response.writeHead(method === 'GET' ? getStatus : 200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-status': HIT,
      ...(request.headers['headrace-timing'] === '1' ? { 'server-timing': TIMING } : {}),
    });
    response.end(body);
  });
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ msg: 'ready', port })}\n`);
});
process.on('SIGTERM', () => process.exit(0));
