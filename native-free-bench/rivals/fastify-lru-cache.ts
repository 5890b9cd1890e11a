/** Fastify with lru-cache: a Map with bounds in the process, the body kept ready to send. */
import { fastify } from 'fastify';
import { LRUCache } from 'lru-cache';
import { documentId } from '../data/records.js';
import { headerPairs, ID_PATHS, type RivalTask } from './rival.js';

export async function serve({ documents, keyPrefix, headers, body }: RivalTask): Promise<number> {
  const replyHeaders = Object.fromEntries(headerPairs(headers));
  const cache = new LRUCache<string, Buffer>({ max: documents + 1, ttl: 3_600_000 });
  for (let document = 0; document < documents; document++) cache.set(keyPrefix + documentId(document), body);

  const server = fastify();
  for (const path of ID_PATHS) {
    server.get<{ Params: { id: string } }>(path, async (request, reply) => {
      const value = cache.get(request.params.id);
      if (value === undefined) return reply.code(404).send();
      return reply.headers(replyHeaders).send(value);
    });
  }
  return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port);
}
