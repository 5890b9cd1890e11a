/**
 * Fastify with bentocache's memory driver, twice: set up for nothing but speed (`serialize: false`, the body kept ready
 * to send), and as `…-objects` the way its documentation shows it (the driver's own serialization, an object in and
 * out, which Fastify writes as JSON).
 */
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { fastify } from 'fastify';
import { BENCH_VIEWS, documentId } from '../data/records.js';
import { headerPairs, ID_PATHS, type RivalTask } from './rival.js';

export async function serve(task: RivalTask): Promise<number> {
  const { name, documents, keyPrefix, headers, body, featureTexts } = task;
  const keepsObjects = name === 'fastify-bentocache-objects';
  const replyHeaders = keepsObjects ? {} : Object.fromEntries(headerPairs(headers));
  const memory = memoryDriver({ maxItems: documents + 1, serialize: keepsObjects });
  const cache = new BentoCache({ default: 'memory', stores: { memory: bentostore().useL1Layer(memory) } });
  for (let document = 0; document < documents; document++) {
    const id = documentId(document);
    const features: unknown = JSON.parse(featureTexts[document % featureTexts.length] ?? '{}');
    const value = keepsObjects ? { view: BENCH_VIEWS[50], id, version: 1, features } : body;
    await cache.set({ key: keyPrefix + id, value, ttl: '1h' });
  }

  const server = fastify();
  for (const path of ID_PATHS) {
    server.get<{ Params: { id: string } }>(path, async (request, reply) => {
      const value: unknown = await cache.get({ key: request.params.id });
      if (value === undefined || value === null) return reply.code(404).send();
      return reply.headers(replyHeaders).send(value);
    });
  }
  return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port);
}
