/**
 * Fastify with ioredis, doing no more than it must: a record's body is kept in Redis ready to send; a batch is one MGET
 * of JSON values that are joined, not parsed. Redis's own CPU time is not counted.
 */
import { fastify } from 'fastify';
import { Redis } from 'ioredis';
import { documentId } from '../data/records.js';
import { announce, headerPairs, rivalOptions } from './rival.js';

const SEED_KEYS = 500;

const { documents, headers, body, featureTexts, redisUrl } = rivalOptions();
const replyHeaders = Object.fromEntries(headerPairs(headers));
const redis = new Redis(redisUrl);
for (let from = 0; from < documents; from += SEED_KEYS) {
  const values = new Map<string, string | Buffer>();
  for (let document = from; document < Math.min(documents, from + SEED_KEYS); document++) {
    values.set(`headrace-bench:body:${documentId(document)}`, body);
    const features = featureTexts[document % featureTexts.length] ?? '{}';
    values.set(`headrace-bench:json:${documentId(document)}`, features);
  }
  await redis.mset(values);
}

const server = fastify({ bodyLimit: 16 * 1024 * 1024 });
server.get<{ Params: { id: string } }>('/v1/views/:view/records/:id', async (request, reply) => {
  const value = await redis.getBuffer(`headrace-bench:body:${request.params.id}`);
  if (value === null) return reply.code(404).send();
  return reply.headers(replyHeaders).send(value);
});
server.post<{ Body: { ids: string[] } }>('/v1/views/:view/lookup', async (request, reply) => {
  const values = await redis.mget(request.body.ids.map(id => `headrace-bench:json:${id}`));
  const rows = values.map(value => value ?? 'null').join(',');
  return reply.header('content-type', 'application/json').send(`{"records":[${rows}]}`);
});
announce(Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port));
