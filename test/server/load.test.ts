/** `POST /v1/views/{view}/records` over HTTP: lines in any shape and any chunks, good ones kept, bad ones counted by number. */
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { SEED, Seeded } from '../base/seeded.js';
import { RawClient } from '../front/raw-client.js';
import { type Answer, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

interface Totals {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  readonly errors: readonly { readonly line: number; readonly detail: string }[];
}

const VIEW = { n: 'int64', s: 'string' };
const LINE_BYTES_MAX = 65_536;

function totals(answer: Answer): Totals {
  expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/json']);
  return answer.json() as Totals;
}

function line(id: string, n: number, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ id, features: { n }, ...more });
}

onBothFronts(
  'loads',
  subject => {
    test('keep good lines, and count bad ones by their number', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const lines = [
        line('a', 1, { version: 5, ttl: '1h', tags: ['t'], metadata: { m: [1] } }),
        '',
        '{"id":"b","features":{"n":1}',
        line('b', 2, { version: 5 }),
        line('a', 3, { version: 4 }),
        '{"id":"c","features":{"n":"x","unknown":1}}',
        '   \t',
        'not json',
        '[1,2]',
        '{"features":{"n":1}}',
        '{"id":"d","id":"e","features":{}}',
        line('a', 4, { version: 6 }),
        '{"id":"f","features":{"n":1}} {"id":"g","features":{"n":1}}',
        '\ufeff{"id":"h","features":{}}',
        line('i', 9, { version: 1, extra: true }),
      ];
      const { applied, stale, failed, errors } = totals(await api.load(view, lines.join('\n')));
      expect({ applied, stale, failed }).toEqual({ applied: 3, stale: 1, failed: 9 });
      expect(errors.map(({ line }) => line)).toEqual([3, 6, 8, 9, 10, 11, 13, 14, 15]);
      const details = errors.map(({ detail }) => detail);
      expect(details[1]).toMatch(/features\.n .*features\.unknown /);
      expect(details[4]).toContain('id is missing');
      expect(details[5]).toContain('"id" is there twice');
      expect(details[7]).toContain('byte order mark');
      expect(details[8]).toContain('extra');
      expect((await api.get(recordPath(view, 'a'))).json()).toMatchObject({
        version: 6,
        features: { n: 4, s: null },
      });
      expect((await api.get(recordPath(view, 'b'))).json()).toMatchObject({ version: 5, features: { n: 2 } });
      for (const id of ['c', 'd', 'e', 'f', 'g', 'h', 'i'])
        expect((await api.head(recordPath(view, id))).status).toBe(404);
    });

    test('name the first hundred errors, and count them all', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const lines = Array.from({ length: 1000 }, (_, n) => (n % 2 === 0 ? line(`x${n}`, n) : '{"id":5}'));
      const { applied, failed, errors } = totals(await api.load(view, lines.join('\n')));
      expect([applied, failed, errors.length]).toEqual([500, 500, 100]);
      expect(errors.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, n) => 2 * n + 2));
    });

    test('take flat objects: features, the id, and whatever else is left out', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const lines = [
        '{"n":1,"title":{"deep":[1,{"id":"no"}]},"id":"a","s":"x","version":3,"ttl":"never","tags":5}',
        '{"id":"b"}',
        '{"n":1}',
        '{"id":"c","n":"one"}',
        '{"id":"d","n":1,"n":2}',
        '{"id":7,"n":1}',
        '{"id":"e","n":null,"__proto__":{"n":4}}',
      ];
      const { applied, failed, errors } = totals(await api.load(view, lines.join('\n'), '?flat=true'));
      expect([applied, failed, errors.map(({ line }) => line)]).toEqual([3, 4, [3, 4, 5, 6]]);
      expect((await api.get(recordPath(view, 'a'))).json()).toMatchObject({ features: { n: 1, s: 'x' } });
      for (const id of ['b', 'e'])
        expect((await api.get(recordPath(view, id))).json()).toMatchObject({
          features: { n: null, s: null },
        });
      expect(totals(await api.load(view, line('g', 1), '?flat=false')).applied).toBe(1);
      for (const query of ['?flat=yes', '?flat=', '?flat', '?flat=true&flat=true', '?Flat=true', '?x=1'])
        expectProblem(await api.load(view, line('h', 1), query), 400, 'bad-query');
    });

    test.each([
      ['no newline at the end', (lines: string[]) => lines.join('\n')],
      ['a newline at the end', (lines: string[]) => `${lines.join('\n')}\n`],
      ['carriage returns', (lines: string[]) => lines.join('\r\n')],
      ['blank lines between', (lines: string[]) => `\n\r\n${lines.join('\n\n  \r\n\t\n')}\n\n`],
      ['space around', (lines: string[]) => lines.map(text => ` \t${text} \r`).join('\n')],
    ])('take lines with %s', async (_, join) => {
      const view = await subject.view(VIEW);
      const body = join([line('a', 1), line('b', 2), line('c', 3)]);
      expect(totals(await subject.api.load(view, body))).toEqual({
        applied: 3,
        stale: 0,
        failed: 0,
        errors: [],
      });
      const looked = await subject.api.post(`/v1/views/${view}/lookup`, {
        ids: ['a', 'b', 'c'],
        features: ['n'],
      });
      expect(looked.json()).toMatchObject({ columns: [[1, 2, 3]] });
    });

    test('of nothing are fine', async () => {
      const view = await subject.view(VIEW);
      for (const body of ['', '\n', '\r\n\r\n', ' '.repeat(1000)])
        expect(totals(await subject.api.load(view, body))).toEqual({
          applied: 0,
          stale: 0,
          failed: 0,
          errors: [],
        });
    });

    test(`are the same however they are cut into chunks (seed ${SEED})`, async () => {
      const { api } = subject;
      const random = new Seeded(SEED);
      const lines = Array.from({ length: 300 }, (_, n) =>
        line(`é${n}😀`, n, { metadata: { ä: 'ö'.repeat(n % 40) } }),
      );
      lines[100] = 'broken';
      lines[200] = line('x', 1).slice(0, -3);
      const body = Buffer.from(lines.join('\r\n'));
      for (const chunkMax of [1, 2, 7, 100, 4096]) {
        const view = await subject.view(VIEW);
        const chunks: Buffer[] = [];
        for (let at = 0; at < body.length; ) {
          const end = at + 1 + random.below(chunkMax);
          chunks.push(body.subarray(at, end));
          at = end;
        }
        const { applied, failed, errors } = totals(await api.load(view, Readable.from(chunks)));
        expect([chunkMax, applied, failed, errors.map(({ line }) => line)]).toEqual([
          chunkMax,
          298,
          2,
          [101, 201],
        ]);
        expect((await api.get(recordPath(view, 'é299😀'))).json()).toMatchObject({ features: { n: 299 } });
      }
    });

    test('fail a line over the limit, and go on behind it', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const sized = (id: string, bytes: number) => line(id, 1).padEnd(bytes);
      const lines = [
        sized('a', LINE_BYTES_MAX),
        sized('b', LINE_BYTES_MAX + 1),
        line('c', 1),
        sized('d', 10 * LINE_BYTES_MAX),
        line('e', 1),
        ' '.repeat(LINE_BYTES_MAX + 1),
        sized('f', LINE_BYTES_MAX),
        sized('g', LINE_BYTES_MAX + 1),
      ];
      const feeds = ['\n', '\r\n'];
      const bodies = feeds.flatMap(feed => [
        lines.join(feed),
        Readable.from(lines.map(text => `${text}${feed}`)),
        Readable.from(lines.flatMap(text => [text, ...feed])),
      ]);
      for (const body of bodies) {
        const { applied, failed, errors } = totals(await api.load(view, body));
        expect([applied, failed, errors.map(({ line }) => line)]).toEqual([4, 4, [2, 4, 6, 8]]);
        for (const { detail } of errors)
          expect(detail).toBe('is longer than 65536 bytes (HEADRACE_LINE_BYTES_MAX)');
      }
    });

    test('that fail are answered before the rest of the body has come', async () => {
      const { api, server } = subject;
      const view = await subject.view(VIEW);
      const raw = await RawClient.connect(server.port);
      const head = `POST /v1/views/${view}/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n`;
      await raw.send(`${head}Content-Length: ${10 * 2 ** 30}\r\n\r\n`);
      expect((await api.delete(`/v1/views/${view}`)).status).toBe(204);
      const lines = Array.from({ length: 50_000 }, (_, n) => line(`id${n}`, n));
      void raw.send(`${lines.join('\n')}\n`);
      const answer = await raw.answer('POST');
      expect([answer?.status, answer?.body]).toEqual([404, expect.stringContaining('view-not-found')]);
      raw.destroy();
    });

    test('in other forms than plain lines are refused', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = `/v1/views/${view}/records`;
      const types = [
        '',
        'application/json',
        'text/plain',
        'application/x-ndjson2',
        'x',
        'application/x-ndjson/y',
      ];
      for (const type of types) {
        const answer = await api.request(
          'POST',
          path,
          line('x', 1),
          type === '' ? {} : { 'content-type': type },
        );
        expectProblem(answer, 415, 'unsupported-media-type');
      }
      for (const type of ['application/x-ndjson; charset=utf-8', 'Application/X-NDJSON']) {
        expect(totals(await api.request('POST', path, line('y', 1), { 'content-type': type })).applied).toBe(
          1,
        );
      }
      for (const encoding of ['gzip', 'deflate', 'br', 'x', 'identity, gzip']) {
        const headers = { 'content-type': 'application/x-ndjson', 'content-encoding': encoding };
        const answer = await api.request('POST', path, Buffer.from([0x1f, 0x8b, 8, 0]), headers);
        expect(expectProblem(answer, 415, 'unsupported-media-type').detail).toContain(encoding);
      }
      expect((await api.head(recordPath(view, 'x'))).status).toBe(404);
    });

    test('beside each other and beside writes lose nothing', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const loads = Array.from({ length: 6 }, (_, load) =>
        Array.from({ length: 500 }, (_, n) => line(`x${n}`, load * 1000 + n, { version: load + 1 })).join(
          '\n',
        ),
      );
      const put = (n: number) => api.put(recordPath(view, `x${n}`), { features: { n }, version: 100 });
      const [answers, puts] = await Promise.all([
        Promise.all(loads.map(body => api.load(view, body))),
        Promise.all(Array.from({ length: 50 }, (_, n) => put(10 * n))),
      ]);
      for (const answer of puts) expect(answer.json()).toMatchObject({ applied: true });
      for (const answer of answers) {
        const { applied, stale, failed } = totals(answer);
        expect([applied + stale, failed]).toEqual([500, 0]);
      }
      const ids = Array.from({ length: 500 }, (_, n) => `x${n}`);
      for (let round = 0; round < 2; round++) {
        const looked = await api.post(`/v1/views/${view}/lookup`, { ids, features: ['n'] });
        expect(looked.json()).toMatchObject({ columns: [ids.map((_, n) => (n % 10 === 0 ? n : 5000 + n))] });
        await api.post(`/v1/views/${view}/invalidate`, { all: true });
      }
    });

    test('of records beyond their limits are told which', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = recordPath(view, 'x');
      const record = (more: string) => `{"features":{},${more}}`;
      const tag = (bytes: number) => `"${'t'.repeat(bytes)}"`;
      const metadata = (bytes: number) => `"metadata":{"m":"${'m'.repeat(bytes - 8)}"}`;
      const tags = (count: number) => `"tags":[${Array.from({ length: count }, (_, n) => `"t${n}"`).join()}]`;
      const cases = [
        [`"tags":[${tag(256)}]`, `"tags":[${tag(257)}]`, 'tags[0]'],
        [tags(64), tags(65), 'tags'],
        [metadata(50_000), '"metadata":[]', 'metadata'],
        ['"ttl":"1ms"', '"ttl":"0ms"', 'ttl'],
        ['"ttl":"3650d"', '"ttl":"3651d"', 'ttl'],
        ['"ttl":null', '"ttl":60', 'ttl'],
        ['"tags":[]', '"tags":[""]', 'tags[0]'],
        ['"metadata":{}', '"metadata":"x"', 'metadata'],
        ['"version":null', '"version":{}', 'version'],
      ] as const;
      for (const [good, bad, place] of cases) {
        expect([good.slice(0, 40), (await api.put(path, record(good))).status]).toEqual([
          good.slice(0, 40),
          200,
        ]);
        const problem = expectProblem(await api.put(path, record(bad)), 422, 'invalid-record');
        expect(placesOf(problem)).toEqual([place]);
        const loaded = totals(await api.load(view, `{"id":"y",${record(bad).slice(1)}`));
        expect([loaded.failed, loaded.errors[0]?.detail.includes(place)]).toEqual([1, true]);
      }
    });
  },
  { HEADRACE_LINE_BYTES_MAX: '64KiB' },
);
