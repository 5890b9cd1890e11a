/**
 * What a rival is told and how it is started. Rivals repeat an answer that headrace gave, byte for byte, from where
 * they keep things; what they spend on it is compared with what headrace spends.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Server, startServer } from '../servers/child.js';
import type { CallAnswer } from '../servers/http-call.js';
import { removeDir, temporaryDir } from '../servers/temporary-dir.js';

/** In the order of the report. */
export const RIVALS = {
  'bare-uws': 'uWebSockets.js and nothing else: the same bytes to every request',
  'bare-uws-params': 'the same, but reads what a server must: path parameters, query, the header that counts',
  'fastify-bentocache': 'Fastify, bentocache with its memory driver, the body kept ready to send',
  'fastify-bentocache-objects': 'the same as documented: the record kept as an object, sent as JSON',
  'fastify-lru-cache': 'Fastify, lru-cache, the body kept ready to send',
  'fastify-ioredis': 'Fastify, ioredis GET of the body; batches by MGET of JSON values, joined unread',
  'fastify-ioredis-columns':
    'the same MGET, answered as headrace answers it: columns of the features asked for',
} as const;
export type RivalName = keyof typeof RIVALS;

export interface RivalTask {
  readonly name: RivalName;
  /** Documents `doc-0` to `documents` - 1 are there. */
  readonly documents: number;
  /** Before each of their ids. */
  readonly keyPrefix: string;
  /** Name, value, …: the headers to answer with, beside those that the rival's HTTP library adds. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** JSON objects of features, for rivals that keep records: document n has the one at n modulo their number. */
  readonly featureTexts: readonly string[];
  readonly redisUrl: string;
}

/** In the rival's process: listens on a free port of 127.0.0.1 and resolves with it. */
export type RivalServer = (task: RivalTask) => Promise<number>;

type StoredTask = Omit<RivalTask, 'body'> & { readonly bodyBase64: string };

/** Of a record, and of an entry of a named cache. */
export const ID_PATHS = ['/v1/views/:view/records/:id', '/v1/caches/:cache/entries/:id'] as const;

const ENTRY = fileURLToPath(new URL('../rival.js', import.meta.url));

/** Written by every HTTP library by itself, or about the connection and not the answer. */
const LIBRARY_HEADERS = new Set(['content-length', 'date', 'uwebsockets', 'connection', 'keep-alive']);

export type RivalSetting = Pick<RivalTask, 'documents' | 'keyPrefix' | 'featureTexts' | 'redisUrl'> & {
  /** An answer of headrace, to be repeated. */
  readonly answer: CallAnswer;
};

export async function startRival(name: RivalName, { answer, ...rest }: RivalSetting): Promise<Server> {
  const dir = temporaryDir('rival');
  const file = join(dir, 'task.json');
  const headers = ownHeaders(answer.rawHeaders);
  const stored: StoredTask = { ...rest, name, headers, bodyBase64: answer.body.toString('base64') };
  writeFileSync(file, JSON.stringify(stored));
  try {
    return await startServer(name, [ENTRY, name, file]);
  } finally {
    removeDir(dir);
  }
}

/** In the rival's process: what `startRival` wrote. */
export function readRivalTask(file: string): RivalTask {
  const { bodyBase64, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as StoredTask;
  return { ...rest, body: Buffer.from(bodyBase64, 'base64') };
}

export function headerPairs(headers: readonly string[]): (readonly [name: string, value: string])[] {
  return headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? ''] as const] : []));
}

function ownHeaders(rawHeaders: readonly string[]): string[] {
  return headerPairs(rawHeaders)
    .filter(([name]) => !LIBRARY_HEADERS.has(name.toLowerCase()))
    .flat();
}
