/** Replies whose numbers of documents or bytes cannot be: refused, where the driver would loop for seconds or minutes. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { openTestMongo, recordWrite } from '../support/mongo-fixture.js';

const OP_REPLY = 1;
const OP_MSG = 2013;
const HEADER_BYTES = 16;
const BODY_BYTES = 20;
/** A loop over 2^31 places took 9 s. */
const IN_TIME_MS = 5_000;

/** The answer to a message: an OP_REPLY of so many documents, with none. */
function emptyReply(message: Buffer, documents: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES + BODY_BYTES);
  reply.writeInt32LE(reply.length, 0);
  reply.writeInt32LE(message.readInt32LE(4), 8);
  reply.writeInt32LE(OP_REPLY, 12);
  reply.writeInt32LE(documents, HEADER_BYTES + 16);
  return reply;
}

/** The answer to a message: an OP_MSG with one section that says it is so long. */
function sizedMessage(message: Buffer, size: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES + 200);
  reply.writeInt32LE(reply.length, 0);
  reply.writeInt32LE(message.readInt32LE(4), 8);
  reply.writeInt32LE(OP_MSG, 12);
  reply.writeInt32LE(size, HEADER_BYTES + 5);
  return reply;
}

/** Bytes that say that they are a message of so many. */
function sized(size: number): Buffer {
  const reply = Buffer.alloc(64);
  reply.writeInt32LE(size, 0);
  return reply;
}

it.each([-1, 0, 1, 15, 16])('a message that says it has %i bytes is an error in time', size =>
  refused(() => sized(size)),
);

it.each([1, 2 ** 31 - 1])('a reply of %i documents and no bytes is an error in time', documents =>
  refused(message => emptyReply(message, documents)),
);

it.each([64 - 2 ** 31, 0, 196, 2 ** 31 - 1])(
  'a reply of 195 bytes that says it has %i is an error in time',
  size => refused(message => sizedMessage(message, size)),
);

async function refused(answer: (message: Buffer) => Buffer): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', message => socket.write(answer(message)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const tuning = { serverSelectionTimeoutMS: 300, connectTimeoutMS: 300 };
  const { tier, close } = await openTestMongo({ url: `mongodb://127.0.0.1:${port}`, tuning });
  const begunMs = performance.now();
  try {
    await expect(tier.getMany([recordWrite('a', 1).key])).rejects.toMatchObject({ code: 'unavailable' });
    expect(performance.now() - begunMs).toBeLessThan(IN_TIME_MS);
    expect(sockets.size).toBeGreaterThan(0);
  } finally {
    await close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}
