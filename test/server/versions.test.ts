/** Which of two writes stays: by the client's versions, by the server's, and where both meet. */
import { expect, test } from 'vitest';
import { VERSION_MAX } from '../../src/base/clock.js';
import { recordPath } from './api-client.js';
import { expectProblem, onBothFronts, placesOf } from './both-fronts.js';

onBothFronts('versions', subject => {
  test('the larger wins; what is not newer is told the one held', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    const path = recordPath(view, 'x');
    const put = async (version: number, a: number) =>
      (await api.put(path, { features: { a }, version })).json();
    expect(await put(10, 1)).toEqual({ id: 'x', version: 10, applied: true });
    expect(await put(10, 2)).toEqual({ id: 'x', version: 10, applied: false });
    expect(await put(9, 3)).toEqual({ id: 'x', version: 10, applied: false });
    expect((await api.get(path)).json()).toMatchObject({ version: 10, features: { a: 1 } });
    expect(await put(11, 4)).toEqual({ id: 'x', version: 11, applied: true });
    expect(await put(VERSION_MAX, 5)).toEqual({ id: 'x', version: VERSION_MAX, applied: true });
    expect((await api.get(path)).json()).toMatchObject({ version: VERSION_MAX, features: { a: 5 } });
  });

  test('writes without a version are newer than all before them', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    const path = recordPath(view, 'x');
    const write = async (a: number, version?: number) => {
      const answer = (await api.put(path, { features: { a }, version: version ?? null })).json();
      const written = answer as { version: number; applied: boolean };
      expect(written.applied).toBe(true);
      expect((await api.get(path)).json()).toMatchObject({ version: written.version, features: { a } });
      return written.version;
    };
    const first = await write(1);
    expect(await write(2)).toBeGreaterThan(first);
    // Microseconds and nanoseconds since the epoch, as event times are given, are larger than the clock's versions.
    const far = await write(3, 8_007_199_254_740_991);
    const second = await write(4);
    expect(second).toBeGreaterThan(far);
    expect(await write(5)).toBeGreaterThan(second);
    const loaded = await api.load(view, '{"id":"x","features":{"a":6}}\n{"id":"y","features":{"a":7}}\n');
    expect(loaded.json()).toMatchObject({ applied: 2, stale: 0, failed: 0 });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: 6 } });
    // At the very end there is no newer version to be given, and the answer says so.
    await write(8, VERSION_MAX);
    expect((await api.put(path, { features: { a: 9 } })).json()).toEqual({
      id: 'x',
      version: VERSION_MAX,
      applied: false,
    });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: 8 } });
  });

  test('a deletion is newer than all before it, whatever their version', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    for (const version of [1, 8_007_199_254_740_991, VERSION_MAX]) {
      const path = recordPath(view, `v${version}`);
      await api.put(path, { features: { a: 1 }, version });
      expect((await api.delete(path)).status).toBe(204);
      expectProblem(await api.get(path), 404, 'record-not-found');
      await api.post(`/v1/views/${view}/invalidate`, { all: true });
      expectProblem(await api.get(path), 404, 'record-not-found');
      // A write that was slower than the deletion stays out.
      const late = await api.put(path, { features: { a: 2 }, version });
      expect(late.json()).toMatchObject({ applied: false });
      expect((late.json() as { version: number }).version).toBeGreaterThan(version);
      expectProblem(await api.get(path), 404, 'record-not-found');
      expect((await api.delete(path)).status).toBe(204);
    }
    const path = recordPath(view, 'v8007199254740991');
    expect((await api.put(path, { features: { a: 3 } })).json()).toMatchObject({ applied: true });
    expect((await api.get(path)).json()).toMatchObject({ features: { a: 3 } });
  });

  test('of concurrent writes the largest is what stays', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    const path = recordPath(view, 'x');
    const versions = Array.from({ length: 60 }, (_, n) => ((n * 37) % 60) + 1);
    const answers = await Promise.all(
      versions.map(async version => {
        const [written, read] = await Promise.all([
          api.put(path, { features: { a: version }, version }),
          api.get(path),
        ]);
        const { features, version: seen } = read.json() as { features?: { a: number }; version: number };
        // A record is never half of one version and half of another.
        if (features !== undefined) expect(features.a).toBe(seen);
        return written.json() as { version: number; applied: boolean };
      }),
    );
    expect(answers.filter(({ applied }) => applied).length).toBeGreaterThan(0);
    answers.forEach(({ version, applied }, index) => {
      if (applied) expect(version).toBe(versions[index]);
      else expect(version).toBeGreaterThan(versions[index] ?? 0);
    });
    expect((await api.get(path)).json()).toMatchObject({ version: 60, features: { a: 60 } });
  });

  test('that are none are refused', async () => {
    const { api } = subject;
    const view = await subject.view({ a: 'float32' });
    for (const version of [
      '0',
      '-1',
      '1.5',
      '1e400',
      '9007199254740991',
      '9007199254740992',
      '"7"',
      '[]',
      'true',
    ]) {
      const answer = await api.put(recordPath(view, 'x'), `{"features":{"a":1},"version":${version}}`);
      expect(placesOf(expectProblem(answer, 422, 'invalid-record'))).toEqual(['version']);
    }
    for (const version of ['1.0', '1e3', '10.00e-1', 'null']) {
      const answer = await api.put(recordPath(view, version), `{"features":{"a":1},"version":${version}}`);
      expect([version, answer.status]).toEqual([version, 200]);
    }
    expectProblem(await api.get(recordPath(view, 'x')), 404, 'record-not-found');
  });
});
