/** Bodies that are wrong, too large, too deep, cut off or endless: a problem that names the place, and nothing is lost. */
import { Readable } from 'node:stream';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { FULL } from '../base/seeded.js';
import { RawClient } from '../front/raw-client.js';
import { recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf, type Subject } from './both-fronts.js';

const MEGABYTE = 1_000_000;
/** What garbage of the streams themselves may add to the server's memory; less than the smallest endless body. */
const GROWTH_MAX = (FULL ? 200 : 60) * MEGABYTE;
const VIEW = { n: 'int64', a: 'float32', s: 'string', e: 'float32[2]' };
const KNOWN = { features: { n: 42, a: 0.5, s: 'known', e: [1, 2] }, version: 7 };

/** A record that is there before, and must be there after every test. */
function keepsTheKnownRecord(subject: Subject): void {
  beforeAll(async () => {
    expect((await subject.api.put('/v1/views/docs', { entity: 'doc', features: VIEW })).status).toBe(201);
    expect((await subject.api.put(recordPath('docs', 'known'), KNOWN)).status).toBe(200);
  });
  afterEach(async () => {
    for (let round = 0; round < 2; round++) {
      expect((await subject.api.get(recordPath('docs', 'known'))).json()).toMatchObject({
        id: 'known',
        ...KNOWN,
      });
      await subject.api.post('/v1/views/docs/invalidate', { all: true });
    }
  });
}

onBothFronts('bad bodies', subject => {
  keepsTheKnownRecord(subject);
  const targets = [
    ['PUT', '/v1/views/docs'],
    ['PUT', recordPath('docs', 'x')],
    ['POST', '/v1/views/docs/lookup'],
    ['POST', '/v1/views/docs/invalidate'],
    ['POST', '/v1/caches/results/key'],
  ] as const;

  test('that are no JSON are told where', async () => {
    const { api } = subject;
    const cases = [
      ['', 'line 1, column 1'],
      ['  \n ', 'line 2, column 2'],
      ['{', 'line 1, column 2'],
      ['{"a"', 'line 1, column 5'],
      ['{"a":', 'line 1, column 6'],
      ['{"a":1,}', 'line 1, column 8'],
      ['{"é😀":1,\n\n x}', 'line 3, column 2'],
      ["{'a':1}", 'line 1, column 2'],
      ['{"a":1}}', 'line 1, column 8'],
      ['{"a":01}', 'line 1, column 7'],
      ['{"a":-}', 'line 1, column 7'],
      ['{"a":1.}', 'line 1, column 8'],
      ['{"a":1e}', 'line 1, column 8'],
      ['{"a":nul}', 'line 1, column 6'],
      ['{"a":"\\x"}', 'line 1, column 7'],
      ['{"a":"\\u12"}', 'line 1, column 7'],
      ['{"a":"\n"}', 'line 1, column 7'],
      ['{"a":"x}', 'line 1, column 6'],
      ['{"a":"\\udead"}', 'line 1, column 7'],
      ['\ufeff{}', 'line 1, column 1'],
      ['// no\n{}', 'line 1, column 1'],
    ] as const;
    for (const [method, path] of targets) {
      for (const [body, place] of cases) {
        const problem = expectProblem(await api.request(method, path, body), 400, 'bad-json');
        expect([path, body, placesOf(problem)]).toEqual([path, body, [place]]);
        expect(problem.detail).toContain(place);
      }
      for (const bytes of [
        [0x7b, 0x22, 0xff, 0x22],
        [0x7b, 0x22, 0xc3, 0x22],
        [0x7b, 0x22, 0xed, 0xa0, 0x80],
        [0xff],
        [0],
      ]) {
        const problem = expectProblem(
          await api.request(method, path, Uint8Array.from(bytes)),
          400,
          'bad-json',
        );
        expect(placesOf(problem)[0]).toMatch(/^line 1, column [13]$/);
      }
    }
  });

  test('nested deeper than 32 are refused, at any depth, and 32 are not', async () => {
    const { api } = subject;
    const nested = (depth: number) =>
      `{"features":{},"metadata":${'{"a":'.repeat(depth - 2)}{}${'}'.repeat(depth - 1)}`;
    expect((await api.put(recordPath('docs', 'deep'), nested(32))).status).toBe(200);
    const problem = expectProblem(await api.put(recordPath('docs', 'deep'), nested(33)), 400, 'bad-json');
    expect(problem.detail).toContain('deeper than 32');
    for (const [method, path] of targets) {
      for (const opening of ['[', '{"a":', '[{"a":']) {
        const deep = await api.request(method, path, `{"x":${opening.repeat(100_000)}`);
        expect(expectProblem(deep, 400, 'bad-json').detail).toContain('deeper than 32');
      }
    }
    const loaded = await api.load(
      'docs',
      `{"id":"x","metadata":${'['.repeat(500_000)}\n${JSON.stringify({ id: 'y', features: {} })}`,
    );
    expect(loaded.json()).toMatchObject({ applied: 1, failed: 1, errors: [{ line: 1 }] });
  });

  test('with a hundred thousand wrong keys are told a hundred of them', async () => {
    const { api } = subject;
    const keys = Array.from({ length: 60_000 }, (_, n) => `"k${n}":1`).join();
    const put = await api.put(recordPath('docs', 'x'), `{"features":{${keys}}}`);
    const problem = expectProblem(put, 422, 'invalid-record');
    expect(problem.errors).toHaveLength(100);
    expect(problem.detail).toContain('59999 more');
    expect(put.bytes.length).toBeLessThan(50_000);
    const long = `"${'k'.repeat(900_000)}":1`;
    const answer = await api.put(recordPath('docs', 'x'), `{"features":{${long}}}`);
    expectProblem(answer, 422, 'invalid-record');
    expect(answer.bytes.length).toBeLessThan(2000);
  });

  test('of exactly a record beyond its limit are refused', async () => {
    const { api } = subject;
    const sized = (bytes: number) => ({ features: { s: 's'.repeat(bytes) } });
    expect((await api.put(recordPath('docs', 'large'), sized(1_000_000))).status).toBe(200);
    expect((await api.get(`${recordPath('docs', 'large')}?features=s`)).json()).toMatchObject(
      sized(1_000_000),
    );
    const problem = expectProblem(
      await api.put(recordPath('docs', 'large'), sized(1_048_000)),
      422,
      'invalid-record',
    );
    expect(problem.detail).toMatch(/would take \d+ bytes, 1047552 are allowed/);
    expectProblem(await api.put(recordPath('docs', 'large'), sized(1_048_576)), 413, 'body-too-large');
    expect((await api.get(`${recordPath('docs', 'large')}?features=s`)).json()).toMatchObject(
      sized(1_000_000),
    );
  });

  test('that are cut off write nothing', async () => {
    const { api, server } = subject;
    const body = JSON.stringify({ features: { n: 1 } });
    for (const framing of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
      const raw = await RawClient.connect(server.port);
      const chunk = framing.endsWith('chunked') ? `${body.length.toString(16)}\r\n${body}\r\n` : body;
      await raw.send(`PUT ${recordPath('docs', 'cut')} HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n${chunk}`);
      raw.destroy();
    }
    // Lines that came whole may be there; the one that was cut is not.
    const raw = await RawClient.connect(server.port);
    const head =
      'POST /v1/views/docs/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n';
    await raw.send(`${head}\r\n${JSON.stringify({ id: 'whole', features: {} })}\n{"id":"cut","features":{}}`);
    raw.destroy();
    expect((await api.head('/v1/views')).status).toBe(200);
    expectProblem(await api.get(recordPath('docs', 'cut')), 404, 'record-not-found');
  });
});

/** Bytes without an end of line, and what memory they take while they come, at most. */
async function stream(
  subject: Subject,
  path: string,
  bytes: number,
): Promise<{ status: number; text: string; peak: number }> {
  const block = Buffer.alloc(MEGABYTE, 'x');
  const { server } = subject;
  let peak = 0;
  function* blocks() {
    yield Buffer.from('{"id":"first","features":{"n":1}}\n{"id":"');
    for (let sent = 0; sent < bytes; sent += block.length) {
      peak = Math.max(peak, server.memoryBytes() ?? 0);
      yield block;
    }
    yield Buffer.from('"}\n{"id":"last","features":{"n":1}}');
  }
  const method = path.endsWith('/records') ? 'POST' : 'PUT';
  const answer = await subject.api.request(method, path, Readable.from(blocks()), {
    'content-type': 'application/x-ndjson',
  });
  return { status: answer.status, text: answer.text, peak: Math.max(peak, server.memoryBytes() ?? 0) };
}

onBothFronts('endless bodies', subject => {
  keepsTheKnownRecord(subject);
  const bytes = (FULL ? 1000 : 64) * MEGABYTE;

  test(`a line of ${bytes / MEGABYTE} MB takes no memory to speak of, and those around it are kept`, async () => {
    const before = subject.server.memoryBytes() ?? 0;
    const { status, text, peak } = await stream(subject, '/v1/views/docs/records', bytes);
    expect([status, JSON.parse(text)]).toMatchObject([200, { applied: 2, failed: 1, errors: [{ line: 2 }] }]);
    console.log(
      `${subject.front}: ${bytes / MEGABYTE} MB line, ${mb(before)} MB before, ${mb(peak)} MB at most`,
    );
    expect(peak - before).toBeLessThan(GROWTH_MAX);
  });

  test('a body beyond its limit takes none either', async () => {
    const before = subject.server.memoryBytes() ?? 0;
    const { status, text, peak } = await stream(subject, recordPath('docs', 'x'), bytes);
    expect([status, text]).toMatchObject([413, expect.stringContaining('body-too-large')]);
    expect(peak - before).toBeLessThan(GROWTH_MAX);
  });

  test('a line that comes byte by byte takes what a line takes', async () => {
    const { server } = subject;
    const before = server.memoryBytes() ?? 0;
    const raw = await RawClient.connect(server.port);
    await raw.send(
      'POST /v1/views/docs/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const chunks = '1\r\nx\r\n'.repeat(50_000);
    let peak = 0;
    for (let sent = 0; sent < 400_000; sent += 50_000) {
      await raw.send(chunks);
      peak = Math.max(peak, server.memoryBytes() ?? 0);
    }
    await raw.send('0\r\n\r\n');
    expect((await raw.answer())?.body).toContain('"failed":1,');
    peak = Math.max(peak, server.memoryBytes() ?? 0);
    console.log(
      `${subject.front}: 400,000 chunks of a byte, ${mb(before)} MB before, ${mb(peak)} MB at most`,
    );
    expect(peak - before).toBeLessThan(GROWTH_MAX);
    raw.destroy();
  });
});

function mb(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(0);
}
