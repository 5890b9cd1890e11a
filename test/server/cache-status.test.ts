/** Every answer of the data port says where it came from; the admin port, which caches nothing, says nothing. */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { type Answer, ApiClient, recordPath } from './api-client.js';
import { onBothFronts, viewBody } from './both-fronts.js';

const VIEW = { a: 'float32' };

onBothFronts(
  'cache-status',
  subject => {
    const statusOf = ({ status, headers }: Answer) => [status, headers['cache-status']];
    const forwarded = (status: number) => [status, 'headrace; fwd=method'];
    const refused = (status: number, code: string) => [status, `headrace; detail=${code}`];

    test('of writes, loads and invalidations is that they were forwarded', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = recordPath(view, 'x');
      const write = { features: { a: 1 }, version: 2 };
      expect(statusOf(await api.put(path, write))).toEqual(forwarded(200));
      expect(statusOf(await api.put(path, { ...write, version: 1 }))).toEqual(forwarded(200));
      expect(statusOf(await api.load(view, '{"id":"y","features":{}}\n{}'))).toEqual(forwarded(200));
      const invalidation = await api.post(`/v1/views/${view}/invalidate`, { all: true });
      expect(statusOf(invalidation)).toEqual(forwarded(200));
      expect(statusOf(await api.delete(path))).toEqual(forwarded(204));
      expect(statusOf(await api.delete(path))).toEqual(forwarded(204));
    });

    test('of views is that they were forwarded, and that none is cached', async () => {
      const { api } = subject;
      const path = '/v1/views/declared';
      expect(statusOf(await api.put(path, viewBody(VIEW)))).toEqual(forwarded(201));
      expect(statusOf(await api.put(path, viewBody(VIEW)))).toEqual(forwarded(200));
      const bypassed = [200, 'headrace; fwd=bypass'];
      for (const read of [path, '/v1/views']) {
        expect(statusOf(await api.get(read))).toEqual(bypassed);
        expect(statusOf(await api.head(read))).toEqual(bypassed);
      }
      expect(statusOf(await api.delete(path))).toEqual(forwarded(204));
    });

    test('of problems is their code, whoever finds them', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = recordPath(view, 'x');
      const cases = [
        [api.get('/v2'), 404, 'not-found'],
        [api.get('/v1/views/none'), 404, 'view-not-found'],
        [api.get('/v1/views/none/records/x'), 404, 'view-not-found'],
        [api.delete('/v1/views/none'), 404, 'view-not-found'],
        [api.request('PATCH', path), 405, 'method-not-allowed'],
        [api.get(`${path}?feature=a`), 400, 'bad-query'],
        [api.get(`/v1/views/${view}/records/%ff`), 400, 'bad-encoding'],
        [api.get(`/v1/views/${view}/records/`), 400, 'bad-id'],
        [api.get(`/${'p'.repeat(5000)}`), 414, 'path-too-long'],
        [api.put('/v1/views/1', viewBody(VIEW)), 400, 'bad-name'],
        [api.put('/v1/views/wrong', '{}'), 422, 'invalid-view'],
        [api.put(`/v1/views/${view}`, viewBody({ a: 'string' })), 409, 'view-conflict'],
        [api.put(path, '{'), 400, 'bad-json'],
        [api.put(path, { features: { b: 1 } }), 422, 'invalid-record'],
        [api.put(path, ' '.repeat(2000)), 413, 'body-too-large'],
        [api.post(`/v1/views/${view}/records`, ''), 415, 'unsupported-media-type'],
        [api.post(`/v1/views/${view}/lookup`, { ids: 1 }), 422, 'invalid-lookup'],
        [api.post(`/v1/views/${view}/lookup`, '', { accept: 'text/html' }), 406, 'not-acceptable'],
        [api.post(`/v1/views/${view}/invalidate`, {}), 422, 'invalid-invalidation'],
      ] as const;
      for (const [asked, status, code] of cases) expect(statusOf(await asked)).toEqual(refused(status, code));
    });

    test('of a record that is not there is the way it was looked for', async () => {
      const { api } = subject;
      const path = recordPath(await subject.view(VIEW), 'none');
      expect(statusOf(await api.get(path))).toEqual([404, 'headrace; fwd=miss; detail=L3']);
    });

    test('of a request that no handler sees is the code, too', async () => {
      const { server, front } = subject;
      const doubtful = 'PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n';
      // What cannot be parsed is answered by uWebSockets.js itself, which has no such header.
      const requests = front === 'node' ? [doubtful, 'GET\r\n\r\n'] : [doubtful];
      for (const request of requests) {
        const socket = connect(server.port, '127.0.0.1');
        socket.write(request);
        const answer = (await text(socket)).toLowerCase();
        expect(answer).toContain('http/1.1 400 ');
        expect(answer).toContain('\r\ncache-status: headrace; detail=bad-request\r\n');
      }
    });

    test('is not of the admin port', async () => {
      const admin = new ApiClient(subject.server.adminPort);
      for (const path of ['/livez', '/readyz', '/nothing', '/v1/views']) {
        expect((await admin.get(path)).headers).not.toHaveProperty('cache-status');
      }
      expect((await admin.post('/livez', '')).headers).not.toHaveProperty('cache-status');
      admin.close();
    });
  },
  { HEADRACE_BODY_BYTES_MAX: '1KiB' },
);
