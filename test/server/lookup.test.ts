/** `POST /v1/views/{view}/lookup` over HTTP, as columns of JSON and as a FlatBuffer that says the same. */
import { ByteBuffer } from 'flatbuffers';
import { expect, test } from 'vitest';
import { ColumnKind } from '../../src/views/generated/headrace/column-kind.js';
import { LookupAnswer } from '../../src/views/generated/headrace/lookup-answer.js';
import { Status } from '../../src/views/generated/headrace/status.js';
import { type Answer, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf, type Subject } from './both-fronts.js';

const FLATBUFFERS = { accept: 'application/vnd.headrace.flatbuffers' };

interface Lookup {
  readonly view: string;
  readonly features: readonly string[];
  readonly ids: readonly string[];
  readonly statuses: readonly string[];
  readonly versions: readonly (number | null)[];
  readonly columns: readonly (readonly unknown[])[];
}

/** The FlatBuffer as the JSON answer would be. */
function unpacked({ bytes }: Answer): Lookup {
  const answer = LookupAnswer.getRootAsLookupAnswer(new ByteBuffer(bytes));
  const rows = answer.idsLength();
  const each = <T>(count: number, at: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, n) => at(n));
  return {
    view: answer.view() ?? '',
    features: each(answer.featuresLength(), n => answer.features(n)),
    ids: each(rows, n => answer.ids(n)),
    statuses: each(rows, n => Status[answer.statuses(n) ?? -1] ?? ''),
    versions: each(rows, n => (answer.versions(n) === -1n ? null : Number(answer.versions(n)))),
    columns: each(answer.columnsLength(), n => columnOf(answer, n, rows)),
  };
}

function columnOf(answer: LookupAnswer, n: number, rows: number): unknown[] {
  const column = answer.columns(n);
  if (column === null) return [];
  const cells: unknown[] = [];
  for (let row = 0; row < rows; row++) {
    const isNull = column.nullCount() > 0 && ((column.nulls(row >> 3) ?? 0) & (1 << (row & 7))) !== 0;
    cells.push(isNull ? null : cellOf(column, row));
  }
  expect(column.nullCount()).toBe(cells.filter(cell => cell === null).length);
  return cells;
}

function cellOf(column: NonNullable<ReturnType<LookupAnswer['columns']>>, row: number): unknown {
  switch (column.kind()) {
    case ColumnKind.BOOL:
      return column.bools(row) === 1;
    case ColumnKind.INT64:
      return Number(column.int64s(row));
    case ColumnKind.FLOAT32:
      return column.float32s(row);
    case ColumnKind.FLOAT64:
      return column.float64s(row);
    case ColumnKind.STRING:
      return column.strings(row);
    case ColumnKind.BYTES:
      return Buffer.from(column.bytes(row)?.dataArray() ?? []).toString('base64');
    case ColumnKind.EMBEDDING:
      return Array.from({ length: column.length() }, (_, n) => column.embeddings(row * column.length() + n));
  }
}

/** Both forms, which must agree. */
async function look({ api }: Subject, view: string, body: unknown): Promise<Lookup> {
  const [text, packed] = [
    await api.post(`/v1/views/${view}/lookup`, body),
    await api.post(`/v1/views/${view}/lookup`, body, FLATBUFFERS),
  ];
  expect([text.status, packed.status]).toEqual([200, 200]);
  expect([text.headers['content-type'], packed.headers['content-type']]).toEqual([
    'application/json',
    FLATBUFFERS.accept,
  ]);
  const lookup = text.json() as Lookup;
  expect(unpacked(packed)).toEqual(lookup);
  return lookup;
}

onBothFronts('lookups', subject => {
  test('answer in the order asked, with duplicates, for what is there and what is not', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', s: 'string' });
    await api.put(recordPath(view, 'x'), { features: { a: 0.5, s: 'ex' }, version: 7 });
    await api.put(recordPath(view, 'y'), { features: { s: '' }, version: 8 });
    await api.put(recordPath(view, 'gone'), { features: { a: 1 }, version: 9 });
    await api.delete(recordPath(view, 'gone'));
    const ids = ['y', 'none', 'x', 'x', 'gone', 'y'];
    const expected: Lookup = {
      view,
      features: ['s', 'a', 's'],
      ids,
      statuses: ['PRESENT', 'NOT_FOUND', 'PRESENT', 'PRESENT', 'NOT_FOUND', 'PRESENT'],
      versions: [8, null, 7, 7, null, 8],
      columns: [
        ['', null, 'ex', 'ex', null, ''],
        [null, null, 0.5, 0.5, null, null],
        ['', null, 'ex', 'ex', null, ''],
      ],
    };
    expect(await look(subject, view, { ids, features: ['s', 'a', 's'] })).toEqual(expected);
    // The same from below shared memory.
    await api.post(`/v1/views/${view}/invalidate`, { all: true });
    expect(await look(subject, view, { features: ['s', 'a', 's'], ids })).toEqual(expected);
  });

  test('take all features when none are named, and none when none are wanted', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32', s: 'string' });
    await api.put(recordPath(view, 'x'), { features: { a: 1, s: 'x' }, version: 1 });
    const none = { view, features: [], ids: ['x'], statuses: ['PRESENT'], versions: [1], columns: [] };
    expect(await look(subject, view, { ids: ['x'], features: [] })).toEqual(none);
    const all = { ...none, features: ['a', 's'], columns: [[1], ['x']] };
    expect(await look(subject, view, { ids: ['x'] })).toEqual(all);
    expect(await look(subject, view, { ids: ['x'], features: [] })).toEqual(none);
  });

  test('say where the answer came from', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    await api.load(view, '{"id":"x","features":{"a":1}}\n{"id":"y","features":{"a":2}}\n');
    const status = async (ids: string[]) =>
      (await api.post(`/v1/views/${view}/lookup`, { ids })).headers['cache-status'];
    expect(await status(['x', 'y', 'x'])).toBe('headrace; hit; detail=L1');
    await api.post(`/v1/views/${view}/invalidate`, { ids: ['x'] });
    expect(await status(['x', 'y'])).toBe('headrace; fwd=partial; detail=L3');
    expect(await status(['x', 'y'])).toBe('headrace; hit; detail=L1');
    expect(await status(['x', 'none'])).toBe('headrace; fwd=partial; detail=L3');
  });

  test('take 10,000 ids, and not one more', async () => {
    const { api } = subject;
    const view = await subject.view({ n: 'int64', a: 'float32' });
    const ids = Array.from({ length: 10_000 }, (_, n) => `doc-${(n * 7919) % 10_000}`);
    // Every third is missing.
    const present = (id: string) => Number(id.slice(4)) % 3 !== 0;
    const lines = ids
      .filter(present)
      .map(id => `{"id":"${id}","features":{"n":${id.slice(4)}},"version":1}\n`);
    expect((await api.load(view, lines.join(''))).json()).toMatchObject({ applied: lines.length, failed: 0 });
    for (const features of [['n'], ['a', 'n']]) {
      await api.post(`/v1/views/${view}/invalidate`, { prefix: 'doc-1' });
      const { statuses, columns } = await look(subject, view, { ids, features });
      expect(statuses).toEqual(ids.map(id => (present(id) ? 'PRESENT' : 'NOT_FOUND')));
      expect(columns.at(-1)).toEqual(ids.map(id => (present(id) ? Number(id.slice(4)) : null)));
    }
    const more = await api.post(`/v1/views/${view}/lookup`, { ids: [...ids, 'one-more'] });
    expect(expectProblem(more, 413, 'too-many-ids').detail).toContain('10000');
  });

  test('that are none name what is wrong', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    const path = `/v1/views/${view}/lookup`;
    const cases = [
      ['{}', ['ids']],
      ['[]', ['the body']],
      ['"ids"', ['the body']],
      ['{"ids":[]}', ['ids']],
      ['{"ids":null}', ['ids']],
      ['{"ids":"x"}', ['ids']],
      ['{"ids":{"x":1}}', ['ids']],
      [
        `{"ids":["",5,null,"${'x'.repeat(513)}","${'é'.repeat(257)}","ok"]}`,
        ['ids[0]', 'ids[1]', 'ids[2]', 'ids[3]', 'ids[4]'],
      ],
      ['{"ids":["x"],"features":"a"}', ['features']],
      ['{"ids":["x"],"features":["a","b",1,"A"]}', ['features[1]', 'features[2]', 'features[3]']],
      ['{"ids":["x"],"features":null}', ['features']],
      ['{"ids":["x"],"feature":["a"],"__proto__":{}}', ['feature', '__proto__']],
      [JSON.stringify({ ids: ['x'], features: Array(4097).fill('a') }), ['features']],
    ] as const;
    for (const [body, places] of cases) {
      const problem = expectProblem(await api.post(path, body), 422, 'invalid-lookup');
      expect([body.slice(0, 100), placesOf(problem)]).toEqual([body.slice(0, 100), places]);
    }
    const broken = [
      ['', 'line 1, column 1'],
      ['{"ids":["x"]', 'line 1, column 13'],
      ['{"ids":["x"],\n"ids":["y"]}', 'line 2, column 1'],
      ['{"ids":["x"]} {}', 'line 1, column 15'],
      ['{"ids":["\\ud800"]}', 'line 1, column 10'],
    ] as const;
    for (const [body, place] of broken) {
      expect(placesOf(expectProblem(await api.post(path, body), 400, 'bad-json'))).toEqual([place]);
    }
  });

  test('whose answer would be too large are refused before it is made', async () => {
    const { api } = subject;
    const view = await subject.view({ s: 'string', e: 'float32[8192]' });
    const put = await api.put(recordPath(view, 'large'), { features: { s: 'x'.repeat(900_000) } });
    expect(put.status).toBe(200);
    const path = `/v1/views/${view}/lookup`;
    const ids = Array(10_000).fill('none');
    expectProblem(
      await api.post(path, { ids: Array(100).fill('large'), features: ['s'] }),
      413,
      'too-many-ids',
    );
    expectProblem(await api.post(path, { ids, features: ['e'] }, FLATBUFFERS), 413, 'too-many-ids');
    // The next one is as good as ever.
    expect(await look(subject, view, { ids: ['large', 'none'], features: ['e'] })).toMatchObject({
      statuses: ['PRESENT', 'NOT_FOUND'],
      columns: [[null, null]],
    });
  });
});
