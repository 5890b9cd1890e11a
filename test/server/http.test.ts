/** What holds for every path: methods, queries, limits, media types, timing; and the admin port. */
import { expect, test } from 'vitest';
import { FRONTS } from '../front/fronts.js';
import { RawClient } from '../front/raw-client.js';
import { ApiClient, recordPath } from './api-client.js';
import { expectProblem, onBothFronts, viewBody } from './both-fronts.js';
import { startServerProcess } from './server-process.js';

const FLATBUFFERS = 'application/vnd.headrace.flatbuffers';
const VIEW = { a: 'float32', s: 'string' };

onBothFronts('paths', subject => {
  test('that lead nowhere are 404', async () => {
    const { api } = subject;
    const view = await subject.view(VIEW);
    const paths = [
      '/',
      '/v1',
      '/v1/',
      '/v1/view',
      '/v1/viewsx',
      '/v2/views',
      '//v1/views',
      '/v1//views',
      '/V1/views',
      '/livez',
      `/v1/views/${view}/`,
      `/v1/views/${view}/record`,
      `/v1/views/${view}/records:batch`,
      `/v1/views/${view}/lookup/`,
      `/v1/views/${view}/%6cookup`,
      '/%2e%2e/etc/passwd',
      '/v1/views/../views',
      '/*',
    ];
    for (const path of paths) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
        const answer = await api.request(method, path);
        const { detail } = expectProblem(
          answer,
          answer.text.includes('view-not-found') ? 404 : 404,
          'not-found',
        );
        expect(detail).toContain(path);
      }
    }
    expectProblem(await api.get('/v1/views/'), 404, 'view-not-found');
    expectProblem(await api.get(`/v1/views/${view}/records/`), 400, 'bad-id');
  });

  test('say which methods they allow', async () => {
    const { api } = subject;
    const view = `/v1/views/${await subject.view(VIEW)}`;
    const cases = [
      ['/v1/views', 'GET, HEAD'],
      [view, 'GET, HEAD, PUT, DELETE'],
      [`${view}/records`, 'POST'],
      [`${view}/records/x`, 'GET, HEAD, PUT, DELETE'],
      [`${view}/lookup`, 'POST'],
      [`${view}/invalidate`, 'POST'],
    ] as const;
    for (const [path, allowed] of cases) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'PATCH', 'OPTIONS', 'TRACE']) {
        if (allowed.split(', ').includes(method)) continue;
        const answer = await api.request(method, path, method === 'PATCH' ? '{}' : undefined);
        expect([method, path, answer.status, answer.headers.allow]).toEqual([method, path, 405, allowed]);
        if (method !== 'HEAD')
          expect(expectProblem(answer, 405, 'method-not-allowed').detail).toContain(method);
      }
    }
  });

  test('are not answered by methods that every object has', async () => {
    const { server, front } = subject;
    for (const method of ['constructor', 'toString', '__proto__', 'hasOwnProperty', '__defineGetter__']) {
      for (const path of ['/v1/views', `/v1/views/${await subject.view(VIEW)}`]) {
        const raw = await RawClient.connect(server.port);
        await raw.request(path, method);
        // node:http knows a list of methods, and reads no other.
        expect([method, path, (await raw.answer())?.status]).toEqual([
          method,
          path,
          front === 'uws' ? 405 : 400,
        ]);
        raw.destroy();
      }
    }
  });

  test('without parameters refuse them, so that none is ignored in silence', async () => {
    const { api } = subject;
    const view = `/v1/views/${await subject.view(VIEW)}`;
    const requests = [
      ['GET', '/v1/views'],
      ['GET', view],
      ['PUT', view, viewBody(VIEW)],
      ['DELETE', view],
      ['PUT', `${view}/records/x`, '{"features":{}}'],
      ['DELETE', `${view}/records/x`],
      ['POST', `${view}/lookup`, '{"ids":["x"]}'],
      ['POST', `${view}/invalidate`, '{"all":true}'],
    ] as const;
    for (const [method, path, body] of requests) {
      const { detail } = expectProblem(
        await api.request(method, `${path}?version=7`, body),
        400,
        'bad-query',
      );
      expect(detail).toContain("'version'");
      expect((await api.request(method === 'DELETE' ? 'GET' : method, `${path}?`, body)).status).toBeLessThan(
        405,
      );
    }
    expect((await api.get(view)).status).toBe(200);
  });

  test('are 414 beyond their limit, with their query', async () => {
    const { api } = subject;
    const path = `${recordPath(await subject.view(VIEW), 'x')}?features=`;
    // The question mark is of neither.
    expectProblem(await api.get(path.padEnd(4097, 'a')), 400, 'bad-query');
    expect(expectProblem(await api.get(path.padEnd(4098, 'a')), 414, 'path-too-long').detail).toContain(
      '4096',
    );
    expectProblem(await api.get(`/${'%'.repeat(4096)}`), 414, 'path-too-long');
  });

  test('that are not percent-encoded UTF-8 are refused', async () => {
    const { api } = subject;
    const view = await subject.view(VIEW);
    for (const broken of [
      '%',
      '%4',
      '%zz',
      'a%',
      '%ff',
      '%c3',
      '%c3%28',
      '%ed%a0%80',
      '%f5%80%80%80',
      '%e2%82',
      '%c0%af',
    ]) {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const answer = await api.request(
          method,
          `/v1/views/${view}/records/${broken}`,
          method === 'PUT' ? '{"features":{}}' : undefined,
        );
        expectProblem(answer, 400, 'bad-encoding');
      }
      expectProblem(await api.get(`/v1/views/${broken}`), 400, 'bad-encoding');
    }
  });
});

onBothFronts(
  'requests',
  subject => {
    test('get the form they accept, else 406', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = recordPath(view, 'x');
      await api.put(path, { features: { a: 1, s: 'x' } });
      const lookup = (accept: string) => api.post(`/v1/views/${view}/lookup`, { ids: ['x'] }, { accept });
      for (const accept of [
        '*/*',
        'application/*',
        'application/json',
        'text/html, */*;q=0.1',
        'Application/JSON; charset=utf-8',
      ]) {
        for (const answer of [await api.get(path, { accept }), await lookup(accept)])
          expect([accept, answer.status, answer.headers['content-type']]).toEqual([
            accept,
            200,
            'application/json',
          ]);
      }
      for (const accept of [
        FLATBUFFERS,
        `text/html, ${FLATBUFFERS};q=0.5`,
        `*/*, ${FLATBUFFERS.toUpperCase()}`,
      ]) {
        for (const answer of [await api.get(path, { accept }), await lookup(accept)])
          expect([accept, answer.status, answer.headers['content-type']]).toEqual([accept, 200, FLATBUFFERS]);
      }
      for (const accept of ['text/html', 'application/xml, text/*', 'x', ',,', 'application/jsonx']) {
        for (const answer of [await api.get(path, { accept }), await lookup(accept)])
          expectProblem(answer, 406, 'not-acceptable');
      }
    });

    test('are timed by stage when they ask for it', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const path = recordPath(view, 'x');
      await api.put(path, { features: { a: 1 } });
      const ask = { 'headrace-timing': '1' };
      const stages = (header: unknown) =>
        String(header)
          .split(', ')
          .map(part => {
            const [, stage, ms] = /^(\w+);dur=(\d+\.\d+)$/.exec(part) ?? [];
            expect(Number(ms)).toBeGreaterThanOrEqual(0);
            return stage;
          });
      const hit = await api.get(path, ask);
      expect(stages(hit.headers['server-timing'])).toEqual(['parse', 'l1', 'encode', 'total']);
      await api.post(`/v1/views/${view}/invalidate`, { all: true });
      const miss = await api.get(path, ask);
      expect(stages(miss.headers['server-timing'])).toEqual(['parse', 'l1', 'l3', 'encode', 'total']);
      const looked = await api.post(`/v1/views/${view}/lookup`, { ids: ['x'] }, ask);
      expect(stages(looked.headers['server-timing'])).toEqual(['parse', 'l1', 'encode', 'total']);
      for (const other of ['0', 'true', '']) {
        const untimed = await api.get(path, { 'headrace-timing': other });
        expect(untimed.headers['server-timing']).toBeUndefined();
      }
    });

    test('are 431 with too large headers, and the next connection is served', async () => {
      const { api } = subject;
      const answer = await api.get('/v1/views', { 'x-large': 'x'.repeat(17_000) });
      expect(answer.status).toBe(431);
      // What uWebSockets.js refuses before there is a request to answer gets its own short text.
      if (subject.front === 'node') expectProblem(answer, 431, 'headers-too-large');
      expect((await api.get('/v1/views', { 'x-large': 'x'.repeat(15_000) })).status).toBe(200);
    });

    test('are 413 one byte beyond the limit of bodies, whatever they ask for', async () => {
      const { api } = subject;
      const view = await subject.view(VIEW);
      const limit = 65_536;
      const requests = [
        ['PUT', `/v1/views/${view}`, viewBody(VIEW)],
        ['PUT', recordPath(view, 'x'), '{"features":{"a":1}}'],
        ['POST', `/v1/views/${view}/lookup`, '{"ids":["x"]}'],
        ['POST', `/v1/views/${view}/invalidate`, '{"all":true}'],
      ] as const;
      for (const [method, path, body] of requests) {
        expect((await api.request(method, path, body.padEnd(limit))).status).toBe(200);
        const problem = expectProblem(
          await api.request(method, path, body.padEnd(limit + 1)),
          413,
          'body-too-large',
        );
        expect(problem.detail).toContain(String(limit));
      }
      // Loads have no such limit.
      const line = '{"id":"y","features":{"a":1}}\n';
      expect((await api.load(view, line.repeat(3000))).json()).toMatchObject({ applied: 3000 });
    });
  },
  { HEADRACE_BODY_BYTES_MAX: '64KiB' },
);

test.each(FRONTS)('the admin port, %s front: live, ready and nothing else without the key', async front => {
  const server = await startServerProcess({ env: { HEADRACE_FRONT: front, HEADRACE_ADMIN_KEY: 'a secret' } });
  const admin = new ApiClient(server.adminPort);
  for (const [path, status] of [
    ['/livez', 'live'],
    ['/readyz', 'ready'],
  ] as const) {
    const answer = await admin.get(path);
    expect([answer.status, answer.json()]).toEqual([200, { status }]);
    expect(answer.headers['cache-control']).toBe('no-store');
    const head = await admin.head(path);
    expect([head.status, head.bytes.length]).toEqual([200, 0]);
    const posted = await admin.post(path, {});
    expectProblem(posted, 405, 'method-not-allowed');
    expect(posted.headers.allow).toBe('GET, HEAD');
  }
  for (const path of ['/', '/metrics', '/v1/views', '/__proto__', '/constructor']) {
    for (const authorization of [
      '',
      'a secret',
      'Bearer',
      'Bearer a secre',
      'Bearer a secrets',
      'Basic a secret',
    ]) {
      const refused = await admin.get(path, { authorization });
      expectProblem(refused, 401, 'unauthorised');
      expect(refused.headers['www-authenticate']).toBe('Bearer');
    }
    expectProblem(await admin.get(path, { authorization: 'Bearer a secret' }), 404, 'not-found');
  }
  admin.close();
});
