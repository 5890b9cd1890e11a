/**
 * Fastify with bentocache's memory driver, set up as its documentation advises for speed: values are kept as they are
 * (`serialize: false`), ready to send.
 */
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { fastify } from 'fastify';
import { documentId } from '../data/records.js';
import { announce, headerPairs, rivalOptions } from './rival.js';

const { documents, headers, body } = rivalOptions();
const replyHeaders = Object.fromEntries(headerPairs(headers));
const memory = memoryDriver({ maxItems: documents + 1, serialize: false });
const cache = new BentoCache({ default: 'memory', stores: { memory: bentostore().useL1Layer(memory) } });
for (let document = 0; document < documents; document++) {
  await cache.set({ key: documentId(document), value: body, ttl: '1h' });
}

const server = fastify();
server.get<{ Params: { id: string } }>('/v1/views/:view/records/:id', async (request, reply) => {
  const value: unknown = await cache.get({ key: request.params.id });
  if (value === undefined || value === null) return reply.code(404).send();
  return reply.headers(replyHeaders).send(value);
});
announce(Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port));
