/**
 * Fastify with ioredis, doing no more than it must: a record's body is kept in Redis ready to send; a batch is one MGET
 * of JSON values that are joined, not parsed. As `…-columns` it gives the batch's answer that headrace gives: the
 * features asked for, as columns. Redis's own CPU time is not counted.
 */
import { fastify } from 'fastify';
import { Redis } from 'ioredis';
import { documentId } from '../data/records.js';
import { headerPairs, type RivalTask } from './rival.js';

const SEED_KEYS = 500;
const BODY_BYTES_MAX = 16 * 2 ** 20;

const bodyKey = (id: string) => `headrace-bench:body:${id}`;
const jsonKey = (id: string) => `headrace-bench:json:${id}`;

export async function serve(task: RivalTask): Promise<number> {
  const redis = new Redis(task.redisUrl);
  await seed(redis, task);
  const replyHeaders = Object.fromEntries(headerPairs(task.headers));

  const server = fastify({ bodyLimit: BODY_BYTES_MAX });
  server.get<{ Params: { id: string } }>('/v1/views/:view/records/:id', async (request, reply) => {
    const value = await redis.getBuffer(bodyKey(request.params.id));
    if (value === null) return reply.code(404).send();
    return reply.headers(replyHeaders).send(value);
  });
  server.post<{ Body: LookupBody }>('/v1/views/:view/lookup', async (request, reply) => {
    const values = await redis.mget(request.body.ids.map(jsonKey));
    if (task.name === 'fastify-ioredis-columns') return columnsOf(request.body, values);
    const records = values.map(value => value ?? 'null').join(',');
    return reply.header('content-type', 'application/json').send(`{"records":[${records}]}`);
  });
  return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port);
}

interface LookupBody {
  readonly ids: readonly string[];
  readonly features: readonly string[];
}

function columnsOf({ ids, features }: LookupBody, values: readonly (string | null)[]): object {
  const records = values.map(value =>
    value === null ? null : (JSON.parse(value) as Record<string, unknown>),
  );
  const statuses = records.map(record => (record === null ? 'NOT_FOUND' : 'PRESENT'));
  const columns = features.map(feature => records.map(record => record?.[feature] ?? null));
  return { ids, features, statuses, columns };
}

async function seed(redis: Redis, { documents, body, featureTexts }: RivalTask): Promise<void> {
  for (let from = 0; from < documents; from += SEED_KEYS) {
    const values = new Map<string, string | Buffer>();
    for (let document = from; document < Math.min(documents, from + SEED_KEYS); document++) {
      const id = documentId(document);
      values.set(bodyKey(id), body);
      values.set(jsonKey(id), featureTexts[document % featureTexts.length] ?? '{}');
    }
    await redis.mset(values);
  }
}
