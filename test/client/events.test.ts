/** Events by way of the client: what the server's configuration says is gone, and cached functions do not bring it back. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClientError, connect, type HeadraceClient } from '../../src/client/index.js';
import { makeDataDir, startServerProcess } from '../server/server-process.js';
import { eventually } from '../support/redis-server.js';

const EVENTS = {
  'query.changed': [
    { cache: 'recommendations', ids: ['{key}'] },
    { view: 'none', all: true },
  ],
};
let client: HeadraceClient;

beforeAll(async () => {
  const dataDir = makeDataDir();
  const file = join(dataDir, 'config.json');
  writeFileSync(file, JSON.stringify({ events: EVENTS }));
  const server = await startServerProcess({ dataDir, env: { HEADRACE_CONFIG_FILE: file } });
  client = connect({ url: server.url, timeoutMs: 20_000 });
});
afterAll(() => client.close());

async function failure(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
}

test('an event invalidates what the configuration says, and says what that was', async () => {
  const recommendations = client.cache('recommendations');
  for (const key of ['a', 'b']) await recommendations.put(key, key);
  expect(await client.event({ type: 'query.changed', key: ['a', 'none'] })).toEqual([
    { event: 'query.changed', cache: 'recommendations', ids: 2, invalidated: 1 },
    { event: 'query.changed', view: 'none', all: 1, invalidated: 0 },
  ]);
  expect(await recommendations.get('a')).toBeUndefined();
  expect((await recommendations.get('b'))?.text()).toBe('b');
  const lacking = await failure(client.event([{ type: 'query.changed', key: 1 }, { type: 'query.changed' }]));
  expect([lacking.code, lacking.errors.map(({ at }) => at)]).toEqual(['bad-event', ['[1].key']]);
  expect(await failure(client.event({ type: 'query.lost' }))).toMatchObject({
    code: 'unknown-event',
    status: 422,
  });
});

test('an event leaves nothing of before it to cached functions that call after it', async () => {
  const answers: ((value: string) => void)[] = [];
  const cached = client.cached(() => new Promise<string>(resolve => answers.push(resolve)), {
    ...{ cache: 'recommendations', key: () => 'slow', timeoutMs: 20_000, waitMs: 0 },
  });
  const before = cached();
  await eventually(() => answers.length === 1, 'it is being made');
  await client.event({ type: 'query.changed', key: 'slow' });
  const after = cached();
  await eventually(() => answers.length === 2, 'it is made anew');
  answers[1]?.('new');
  expect(await after).toBe('new');
  await eventually(() => cached.figures.stored === 1, 'it is stored');
  answers[0]?.('old');
  expect(await before).toBe('old');
  await eventually(() => cached.figures.voided === 1, 'the old one is not');
  expect((await client.cache('recommendations').get('slow'))?.json()).toBe('new');
});
