/** Ids of any text: written by path or by line, read by path or by lookup, they are the same record. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEED } from '../base/seeded.js';
import { recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

const STRANGE = [
  '/',
  '//',
  'a/b/c',
  '/records/x',
  '../x',
  '..',
  '.',
  '%',
  '%2F',
  '%zz',
  '?',
  '#',
  '&=+',
  ' ',
  '  a  ',
  '\t\r\n',
  '\0',
  'a\0b',
  '"',
  '\\',
  '\\u0000',
  '😀',
  '👨‍👩‍👧',
  'é',
  'e\u0301',
  '\u2028',
  '\ufeff',
  '\uffff',
  '\u{10ffff}',
  '__proto__',
  'constructor',
  'null',
  '1',
  'ID',
  'id',
  '\u007f',
  '\u0080',
  ':',
  '*',
  '{}',
  '[]',
  'x'.repeat(512),
  'é'.repeat(256),
  '😀'.repeat(128),
] as const;

onBothFronts('ids', subject => {
  test('of any text are one record, however they are spelled', async () => {
    const { api } = subject;
    const view = await subject.view({ n: 'int64' });
    const half = STRANGE.length >> 1;
    for (const [n, id] of STRANGE.entries()) {
      if (n < half) {
        const put = await api.put(recordPath(view, id), { features: { n }, version: 1 });
        expect(put.json()).toEqual({ id, version: 1, applied: true });
      } else {
        // The line escapes what it can, the first time with every unit of UTF-16 spelled out.
        const escaped = [...Array(id.length).keys()].map(
          at => `\\u${id.charCodeAt(at).toString(16).padStart(4, '0')}`,
        );
        const line = n % 2 === 0 ? `"${escaped.join('')}"` : JSON.stringify(id);
        const loaded = await api.load(view, `{"version":1,"features":{"n":${n}},"\\u0069d":${line}}`);
        expect(loaded.json()).toEqual({ applied: 1, stale: 0, failed: 0, errors: [] });
      }
    }
    for (let round = 0; round < 2; round++) {
      for (const [n, id] of STRANGE.entries()) {
        const read = await api.get(recordPath(view, id));
        expect(read.json()).toEqual({ view, id, version: 1, features: { n } });
      }
      const looked = await api.post(`/v1/views/${view}/lookup`, { ids: STRANGE });
      expect(looked.json()).toMatchObject({ ids: STRANGE, columns: [[...STRANGE.keys()]] });
      expect((await api.post(`/v1/views/${view}/invalidate`, { ids: STRANGE })).json()).toEqual({
        invalidated: STRANGE.length,
      });
    }
    // A slash and all that RFC 3986 lets stand in a path may stand as they are.
    expect((await api.get(`/v1/views/${view}/records/a/b/c`)).json()).toMatchObject({ id: 'a/b/c' });
    expect((await api.get(`/v1/views/${view}/records//`)).json()).toMatchObject({ id: '/' });
    expect((await api.get(`/v1/views/${view}/records/../x`)).json()).toMatchObject({ id: '../x' });
    expect((await api.get(`/v1/views/${view}/records/&=+`)).json()).toMatchObject({ id: '&=+' });
    expect((await api.get(`/v1/views/${view}/records/%61%2f%62/c`)).json()).toMatchObject({ id: 'a/b/c' });
  });

  test(`at random are found again, and no other (seed ${SEED})`, async () => {
    const { api } = subject;
    const view = await subject.view({ n: 'int64' });
    const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 128 });
    const ids = fc.uniqueArray(id, { minLength: 2, maxLength: 40 });
    let version = 0;
    await fc.assert(
      fc.asyncProperty(ids, async ids => {
        version++;
        const [missing = '', ...written] = ids;
        await api.delete(recordPath(view, missing));
        await Promise.all(
          written.map((id, n) =>
            api.put(recordPath(view, id), { features: { n }, version: 2 ** 52 + version }),
          ),
        );
        const lookup = await api.post(`/v1/views/${view}/lookup`, { ids: [...written, missing] });
        expect(lookup.json()).toMatchObject({ columns: [[...written.keys(), null]] });
        await api.post(`/v1/views/${view}/invalidate`, { all: true });
        for (const [n, id] of written.entries())
          expect((await api.get(recordPath(view, id))).json()).toMatchObject({ id, features: { n } });
        for (const id of written) await api.delete(recordPath(view, id));
      }),
      { seed: SEED, numRuns: 8 },
    );
  });

  test('that are none are refused wherever they stand', async () => {
    const { api } = subject;
    const view = await subject.view({ n: 'int64' });
    const tooLong = [
      'x'.repeat(513),
      'é'.repeat(257),
      '😀'.repeat(129),
      'é'.repeat(400),
      'x'.repeat(1100),
      '€'.repeat(512),
    ];
    for (const id of tooLong) {
      const inPath = [
        await api.put(recordPath(view, id), '{"features":{}}'),
        await api.get(recordPath(view, id)),
        await api.delete(recordPath(view, id)),
      ];
      for (const answer of inPath) {
        // Percent-encoded, some pass the limit of paths before that of ids.
        if (encodeURIComponent(id).length > 4000) expectProblem(answer, 414, 'path-too-long');
        else
          expect(expectProblem(answer, 400, 'bad-id').detail).toContain(
            `${Buffer.byteLength(id)} bytes, 512`,
          );
      }
      const looked = expectProblem(
        await api.post(`/v1/views/${view}/lookup`, { ids: ['x', id] }),
        422,
        'invalid-lookup',
      );
      expect(placesOf(looked)).toEqual(['ids[1]']);
      const dropped = await api.post(`/v1/views/${view}/invalidate`, { ids: [id] });
      expect(placesOf(expectProblem(dropped, 422, 'invalid-invalidation'))).toEqual(['ids[0]']);
    }
    const bad = ['', ...tooLong].map(id => JSON.stringify(id));
    bad.push('5', 'null', '["x"]', '{"id":"x"}', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\u0041"');
    const lines = bad.map(id => `{"id":${id},"features":{"n":1}}`);
    const good = '{"id":"good","features":{"n":1}}';
    const loaded = await api.load(view, [...lines, good].join('\n'));
    expect(loaded.json()).toMatchObject({
      applied: 1,
      failed: bad.length,
      errors: bad.map((_, n) => ({ line: n + 1, detail: expect.stringMatching(/id|surrogate/) })),
    });
    const flat = await api.load(view, bad.map(id => `{"n":1,"id":${id}}`).join('\n'), '?flat=true');
    expect(flat.json()).toMatchObject({ applied: 0, failed: bad.length });
    const twice = await api.put(recordPath(view, 'x'), '{"id":"y","features":{}}');
    expect(placesOf(expectProblem(twice, 422, 'invalid-record'))).toEqual(['id']);
  });
});
