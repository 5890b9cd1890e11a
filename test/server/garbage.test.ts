/**
 * Seeded garbage: bytes that are no HTTP, requests of all kinds of parts, and valid bodies with a few bytes changed.
 * Nothing of it may make a 500, end the process, or touch the record that was there before.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FULL, SEED, Seeded } from '../base/seeded.js';
import { RawClient } from '../front/raw-client.js';
import { type Answer, recordPath } from './api-client.js';
import { onBothFronts, type ProblemBody, type Subject } from './both-fronts.js';

const TIMES = FULL ? 10 : 1;
const KNOWN = { features: { n: 42, s: 'known' }, version: 7 };
const VIEW = '{"entity":"doc","features":{"n":"int64","s":"string","e":"float32[3]"},"ttl":"24h"}';

const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'get'];
const PATHS = [
  '/v1/views',
  '/v1/views/',
  '/v1/views/other',
  '/v1/views/other/records',
  '/v1/views/docs/records/x',
  '/v1/views/docs/records/%00%F0%9F%98%80',
  '/v1/views/docs/records',
  '/v1/views/docs/lookup',
  '/v1/views/docs/invalidate',
  '/v1/views/no/lookup',
  '/',
  '/livez',
  '/%',
  '/v1/views/%ff',
];
const QUERIES = [
  '',
  '',
  '',
  '?',
  '?features=n',
  '?features=n,s,x',
  '?flat=true',
  '?%',
  '?a=b&a=b',
  '?features=%ff',
];
const HEADERS = [
  'Accept: */*',
  'Accept: application/vnd.headrace.flatbuffers',
  'Accept: x',
  'Content-Type: application/x-ndjson',
  'Content-Type: ;;;',
  'Content-Encoding: gzip',
  'Headrace-Timing: 1',
  'X: \x01\x7f\xff',
  'X-Empty:',
  'Authorization: Bearer x',
  'Connection: keep-alive',
  'Range: bytes=0-1',
  'If-None-Match: *',
  'Expect: x',
];
const BODIES = [
  VIEW,
  '{"features":{"n":1}}',
  '{"ids":["x","known"]}',
  '{"all":true}',
  '{"id":"x","features":{"s":"y"}}\n{',
  '',
  '[',
  '\0\xff\xfe',
  '{"ids":[1e999]}',
];
const TOKENS = [
  '"',
  '\\',
  '\\u',
  '\\ud83d',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  'null',
  'true',
  '-',
  '1e999',
  '9007199254740993',
  '0.1',
  '\n',
  '\0',
  '\xff',
  '\xc3',
  '😀',
  '__proto__',
  '"id"',
  '"n"',
];

function bytesOf(random: Seeded, lengthMax: number): Buffer {
  return Buffer.from(Array.from({ length: 1 + random.below(lengthMax) }, () => random.below(256)));
}

/** A few changes at random places: a byte another, some gone, some twice, a token in between. */
function mutated(random: Seeded, valid: string): Buffer {
  let bytes = Buffer.from(valid);
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const at = random.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + random.below(8));
    const [before, cut, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
    const kind = random.below(4);
    if (kind === 0) bytes = Buffer.concat([before, bytesOf(random, 2), after]);
    else if (kind === 1) bytes = Buffer.concat([before, after]);
    else if (kind === 2) bytes = Buffer.concat([before, cut, cut, after]);
    else bytes = Buffer.concat([before, Buffer.from(random.pick(TOKENS)), cut, after]);
  }
  return bytes;
}

/** No failure of the server, and every refusal a problem with its place or reason. */
function expectSound(answer: Pick<Answer, 'status' | 'text'>, contentType: unknown, asked: string): void {
  const { status, text } = answer;
  if (status >= 200 && status < 300) return;
  if (status < 400 || status >= 500 || contentType !== 'application/problem+json')
    throw new Error(
      `${asked.slice(0, 500)} was answered with ${status} ${contentType} ${text.slice(0, 500)}`,
    );
  const problem = JSON.parse(text) as ProblemBody;
  expect(problem.status).toBe(status);
  expect(problem.detail).not.toBe('');
  if (problem.type.endsWith('bad-json')) expect(problem.errors?.[0]?.at).toMatch(/^line \d+, column \d+$/);
}

/** JSON.parse takes all that the server may take. */
function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

onBothFronts('garbage', subject => {
  beforeAll(async () => {
    console.log(`${subject.front}: seed ${SEED}`);
    expect((await subject.api.put('/v1/views/docs', VIEW)).status).toBe(201);
    expect((await subject.api.put(recordPath('docs', 'known'), KNOWN)).status).toBe(200);
  });

  afterAll(async () => {
    expect((await subject.api.get(recordPath('docs', 'known'))).json()).toMatchObject(KNOWN);
    expect((await subject.api.get('/v1/views/docs')).json()).toMatchObject({ schema: 1 });
  });

  test('that is no HTTP closes its connection and nothing else', async () => {
    const random = new Seeded(SEED);
    await manyTimes(3000 * TIMES, 16, async () => {
      const raw = await RawClient.connect(subject.server.port);
      const valid = `${random.pick(METHODS)} ${random.pick(PATHS)} HTTP/1.1\r\nHost: x\r\n${random.pick(HEADERS)}\r\n\r\n`;
      await raw.send(random.below(2) === 0 ? bytesOf(random, 200) : mutated(random, valid));
      // Answered or not, what came is taken in by the time another request is answered.
      await subject.api.head('/v1/views');
      raw.destroy();
      expect(raw.rest).not.toMatch(/^HTTP\/1\.1 50[0-4]/);
    });
  });

  test('of valid parts in senseless combinations is answered', async () => {
    const random = new Seeded(SEED + 1);
    await manyTimes(4000 * TIMES, 8, async () => {
      const method = random.pick(random.below(2) === 0 ? ['GET', 'PUT', 'POST'] : METHODS.slice(0, 8));
      const path = random.pick(PATHS) + random.pick(QUERIES);
      const headers = Array.from({ length: random.below(4) }, () => random.pick(HEADERS));
      const body = random.pick(BODIES);
      const request = `${method} ${path} HTTP/1.1\r\nHost: x\r\n${headers.map(header => `${header}\r\n`).join('')}`;
      const raw = await keptClient(subject);
      await raw.send(`${request}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`);
      const answer = await raw.answer(method);
      if (
        answer === undefined ||
        isRefusedByParser(answer.body) ||
        answer.headers.get('connection') === 'close'
      ) {
        raw.destroy();
        return;
      }
      if (method !== 'HEAD')
        expectSound(
          { status: answer.status, text: answer.body },
          answer.headers.get('content-type'),
          request,
        );
      idle.push(raw);
    });
  });

  test('made of valid bodies by a few bytes is refused with its place, or is valid', async () => {
    const random = new Seeded(SEED + 2);
    const record =
      '{"features":{"n":12,"s":"téxt \\u00e9","e":[0.5,-1e3,2]},"version":9,"ttl":"1h","tags":["a","b"],"metadata":{"k":[1,{"l":null}]}}';
    const lines = `{"id":"a","features":{"n":1}}\n{"id":"b","features":{"s":"x"},"version":3}\r\n{"id":"c","features":{}}`;
    const requests = [
      ['PUT', '/v1/views/other', VIEW],
      ['PUT', recordPath('docs', 'x'), record],
      ['POST', '/v1/views/docs/lookup', '{"ids":["x","known","é","x"],"features":["s","n"]}'],
      ['POST', '/v1/views/docs/invalidate', '{"ids":["x","known"]}'],
      ['POST', '/v1/views/docs/invalidate', '{"pattern":"user:*:42"}'],
      ['POST', '/v1/views/docs/records', lines],
    ] as const;
    let accepted = 0;
    await manyTimes(3000 * TIMES, 8, async () => {
      const [method, path, valid] = random.pick(requests);
      const body = mutated(random, valid);
      const answer = await subject.api.request(method, path, body, {
        'content-type': 'application/x-ndjson',
      });
      expectSound(answer, answer.headers['content-type'], `${path} ${body.toString('latin1')}`);
      if (path.endsWith('/records')) return;
      if (answer.status < 300) accepted++;
      if (answer.status < 300 && !isJson(body)) throw new Error(`${path} took ${body.toString('latin1')}`);
    });
    // Some changes do no harm: were all refused, the test would not get past the reader.
    expect(accepted).toBeGreaterThan(10);
  });

  /** Connections that were left in order. */
  const idle: RawClient[] = [];
  afterAll(() => {
    for (const raw of idle) raw.destroy();
  });

  async function keptClient({ server }: Subject): Promise<RawClient> {
    for (let raw = idle.pop(); raw !== undefined; raw = idle.pop()) if (!raw.closed) return raw;
    return RawClient.connect(server.port);
  }
});

/** What uWebSockets.js refuses by itself. */
function isRefusedByParser(body: string): boolean {
  return body.startsWith('<h1>');
}

async function manyTimes(count: number, atOnce: number, run: () => Promise<void>): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await run();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
