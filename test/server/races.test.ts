/** Views that are dropped, declared and changed while they are written and read: each answer is one that makes sense. */
import { expect, test } from 'vitest';
import { SEED, Seeded } from '../base/seeded.js';
import { RawClient } from '../front/raw-client.js';
import { type Answer, recordPath } from './api-client.js';
import { onBothFronts, type ProblemBody, viewBody } from './both-fronts.js';

/** What the two views that take turns under one name have, and what their records say. */
const SHAPES = [
  { features: { kind: 'string', n: 'int64' }, record: { kind: 'first', n: 1 } },
  { features: { n: 'float32[3]', kind: 'string' }, record: { n: [1, 2, 3], kind: 'second' } },
] as const;
const IDS = Array.from({ length: 20 }, (_, n) => `x${n}`);

/** The problem's code, or `ok`. */
function outcome({ status, text }: Answer): string {
  if (status < 300) return 'ok';
  return (JSON.parse(text) as ProblemBody).type.replace('urn:headrace:problem:', '');
}

onBothFronts('races', subject => {
  test(`of one name's views: no record is ever read as the other view's (seed ${SEED})`, async () => {
    const { api } = subject;
    const random = new Seeded(SEED);
    const seen = new Map<string, number>();
    const note = (what: string, answer: Answer) => {
      const key = `${what} ${outcome(answer)}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    };
    const drop = async () => note('drop', await api.delete('/v1/views/turns'));
    const steps = [
      async () => note('declare', await api.put('/v1/views/turns', viewBody(random.pick(SHAPES).features))),
      async () => note('declare', await api.put('/v1/views/turns', viewBody(random.pick(SHAPES).features))),
      async () =>
        note(
          'put',
          await api.put(recordPath('turns', random.pick(IDS)), { features: random.pick(SHAPES).record }),
        ),
      async () => {
        const { record } = random.pick(SHAPES);
        note(
          'load',
          await api.load('turns', IDS.map(id => JSON.stringify({ id, features: record })).join('\n')),
        );
      },
      async () => note('delete', await api.delete(recordPath('turns', random.pick(IDS)))),
      async () => note('invalidate', await api.post('/v1/views/turns/invalidate', { all: true })),
      async () => {
        const answer = await api.get(recordPath('turns', random.pick(IDS)));
        note('get', answer);
        if (answer.status === 200)
          expectOneShape((answer.json() as { features: Record<string, unknown> }).features);
      },
      async () => {
        const answer = await api.post('/v1/views/turns/lookup', { ids: IDS });
        note('lookup', answer);
        if (answer.status === 200) expectRowsOfOneShape(answer);
      },
    ];
    const worker = async () => {
      // Rarely enough that there is something to drop.
      for (let n = 0; n < 150; n++) await (random.below(25) === 0 ? drop() : random.pick(steps)());
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    const allowed = {
      drop: ['ok', 'view-not-found'],
      declare: ['ok', 'view-conflict'],
      put: ['ok', 'view-not-found', 'invalid-record'],
      load: ['ok', 'view-not-found'],
      delete: ['ok', 'view-not-found'],
      invalidate: ['ok', 'view-not-found'],
      get: ['ok', 'view-not-found', 'record-not-found'],
      lookup: ['ok', 'view-not-found'],
    };
    const sound = Object.entries(allowed).flatMap(([what, codes]) => codes.map(code => `${what} ${code}`));
    expect([...seen.keys()].filter(key => !sound.includes(key))).toEqual([]);
    for (const what of Object.keys(allowed))
      expect([what, seen.get(`${what} ok`)]).toEqual([what, expect.any(Number)]);
  });

  test('of a lookup whose body is late: it never reads the view that took the place of its own', async () => {
    const { api, server } = subject;
    const [first, second] = SHAPES;
    await api.put('/v1/views/late', viewBody(first.features));
    const raw = await RawClient.connect(server.port);
    const body = JSON.stringify({ ids: ['x'] });
    await raw.send(
      `POST /v1/views/late/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n{`,
    );
    expect((await api.delete('/v1/views/late')).status).toBe(204);
    await api.put('/v1/views/late', viewBody(second.features));
    await api.put(recordPath('late', 'x'), { features: second.record });
    await raw.send(body.slice(1));
    const answer = await raw.answer('POST');
    expect([answer?.status, answer?.body]).toEqual([404, expect.stringContaining('view-not-found')]);
    raw.destroy();
  });

  test('of growing a view and writing to it: every record has what its view had', async () => {
    const { api } = subject;
    const view = await subject.view({ f0: 'int64' });
    const names = Array.from({ length: 12 }, (_, n) => `f${n}`);
    let known = 1;
    const grow = async () => {
      for (let count = 2; count <= names.length; count++) {
        const body = viewBody(Object.fromEntries(names.slice(0, count).map(name => [name, 'int64'])));
        expect((await api.put(`/v1/views/${view}`, body)).json()).toEqual({ view, schema: count });
        known = count;
      }
    };
    const write = async (id: string) => {
      while (known < names.length) {
        const written = names.slice(0, known);
        const features = Object.fromEntries(written.map((name, n) => [name, n]));
        expect((await api.put(recordPath(view, id), { features })).json()).toMatchObject({ applied: true });
        const read = (await api.get(recordPath(view, id))).json() as {
          features: Record<string, number | null>;
        };
        for (const [n, name] of written.entries()) expect([name, read.features[name]]).toEqual([name, n]);
      }
    };
    await Promise.all([grow(), ...IDS.slice(0, 6).map(write)]);
    expect((await api.get(`/v1/views/${view}`)).json()).toMatchObject({ schema: names.length });
  });
});

/** Whole, and of one view: the kind says which. */
function expectOneShape(features: Readonly<Record<string, unknown>>): void {
  const { kind } = features;
  if (kind === null) throw new Error(`a record without a kind was read: ${JSON.stringify(features)}`);
  expect(SHAPES.map(({ record }) => ({ ...record }) as unknown)).toContainEqual(features);
}

function expectRowsOfOneShape(answer: Answer): void {
  const { features, statuses, columns } = answer.json() as {
    features: string[];
    statuses: string[];
    columns: unknown[][];
  };
  statuses.forEach((status, row) => {
    if (status === 'UNAVAILABLE') {
      // The view was dropped between the two threads.
      expect(answer.headers['cache-status']).toBe('headrace; fwd=partial; detail=view-not-found');
    } else if (status === 'PRESENT') {
      expectOneShape(Object.fromEntries(features.map((name, column) => [name, columns[column]?.[row]])));
    }
  });
}
