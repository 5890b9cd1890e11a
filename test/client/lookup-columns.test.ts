/** Columns of a lookup from bytes that were changed on their way: values or `bad-answer`, never anything else. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ClientError } from '../../src/client/client-error.js';
import { connect } from '../../src/client/index.js';
import { readLookupColumns } from '../../src/client/lookup-columns.js';
import { startServerProcess } from '../server/server-process.js';

/** With a byte order mark, which a decoder may take away. */
const MARKED = '\ufeffa';
const IDS = [MARKED, 'b', 'none'];
let bytes = new Uint8Array(0);

beforeAll(async () => {
  const server = await startServerProcess();
  const client = connect({ url: server.url, timeoutMs: 20_000 });
  const view = client.view('v', {
    entity: 'doc',
    features: { f: 'float32', d: 'float64', i: 'int64', b: 'bool', s: 'string', y: 'bytes', e: 'float32[2]' },
  });
  await view.declare();
  await view.put(MARKED, { f: 1, d: 2, i: 3, b: true, s: '\ufefftext', y: Uint8Array.of(1, 2), e: [1, 2] });
  await view.put('b', { s: 'more' });
  const answer = await fetch(`${server.url}/v1/views/v/lookup`, {
    method: 'POST',
    headers: { accept: 'application/vnd.headrace.flatbuffers' },
    body: JSON.stringify({ ids: IDS }),
  });
  bytes = new Uint8Array(await answer.arrayBuffer());
  await client.close();
  await server.stop();
});

afterAll(() => expect(bytes.length).toBeGreaterThan(100));

function readAll(damaged: Uint8Array): void {
  try {
    const found = readLookupColumns(damaged, IDS);
    for (const column of Object.values(found.columns)) for (const row of IDS.keys()) column.at(row);
  } catch (error) {
    expect(error).toBeInstanceOf(ClientError);
    expect((error as ClientError).code).toBe('bad-answer');
  }
}

it('are read whole', () => {
  const { statuses, columns } = readLookupColumns(bytes, IDS);
  expect(statuses).toEqual(['PRESENT', 'PRESENT', 'NOT_FOUND']);
  expect(Object.values(columns).map(column => column.at(0))).toEqual([
    ...[1, 2, 3, true, '\ufefftext'],
    Uint8Array.of(1, 2),
    Float32Array.of(1, 2),
  ]);
});

it('are values or a bad answer when bytes were changed, cut off or made up', () => {
  for (let length = 0; length < bytes.length; length++) readAll(bytes.slice(0, length));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    readAll(damaged);
  }
  const places = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(places, changes => {
      const damaged = bytes.slice();
      for (const [at, byte] of changes) damaged[at] = byte;
      readAll(damaged);
    }),
    { numRuns: 1_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readAll));
});

it('are a bad answer when they are for others', () => {
  for (const others of [['a', 'b'], ['x', 'b', 'none'], []])
    expect(() => readLookupColumns(bytes, others)).toThrow(ClientError);
});
