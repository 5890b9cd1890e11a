/** Where the thread of an origin starts (`servers/origin.ts`). Every question is answered with the same payload. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { type OriginWorkerData, WORDS } from './servers/origin.js';

const KEEP_ALIVE_MS = 60_000;
const { payload, words } = workerData as OriginWorkerData;

const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (_request, response) => {
  Atomics.add(words, WORDS.calls, 1);
  const status = Atomics.load(words, WORDS.status);
  const delayMs = Atomics.load(words, WORDS.delayMs);
  const answer = () => response.writeHead(status, { 'content-type': 'application/json' }).end(payload);
  if (delayMs === 0) answer();
  else setTimeout(answer, delayMs);
});

server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
