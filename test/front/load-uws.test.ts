import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadUws, type Requirer } from '../../src/front/load-uws.js';
import { openFront } from '../../src/front/open-front.js';
import { LIMITS } from './fronts.js';

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'headrace-uws-'));
});

afterAll(() => rmSync(root, { recursive: true }));

interface Installed {
  readonly version: string;
  /** What requiring it gives; an error is thrown. */
  readonly loads: unknown;
}

/** A `require` that knows only these packages, and the names it was asked to load. */
function requirerOf(packages: Record<string, Installed>): { require: Requirer; asked: string[] } {
  const asked: string[] = [];
  const find = (name: string) => {
    const found = packages[name];
    if (found === undefined) throw new Error(`Cannot find module '${name}'\nRequire stack: …`);
    return found;
  };
  const require = (name: string) => {
    asked.push(name);
    const { loads } = find(name);
    if (loads instanceof Error) throw loads;
    return loads;
  };
  const resolve = (name: string) => {
    const { version } = find(name);
    const folder = join(root, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version }));
    return join(folder, 'uws.js');
  };
  return { require: Object.assign(require, { resolve }), asked };
}

const works = { App: () => undefined };
const broken = new Error('supports only other platforms\n\nError: GLIBC_2.38 not found');

describe('the release of uWebSockets.js', () => {
  test('is the newer one when both load', () => {
    const both = {
      'uws-newer': { version: '20.69.0', loads: works },
      'uWebSockets.js': { version: '20.51.4', loads: works },
    };
    const { require, asked } = requirerOf(both);
    expect(loadUws(8192, require)).toEqual({ uws: works, release: 'uws-newer 20.69.0' });
    expect(asked).toEqual(['uws-newer']);
  });

  test('is the older one when the newer does not load, is missing, or is something else', () => {
    const older = { version: '20.51.4', loads: works };
    for (const newer of [
      { version: '20.69.0', loads: broken },
      { version: '20.69.0', loads: {} },
      undefined,
    ]) {
      const { require } = requirerOf({ 'uWebSockets.js': older, ...(newer && { 'uws-newer': newer }) });
      expect(loadUws(8192, require)).toMatchObject({ release: 'uWebSockets.js 20.51.4' });
    }
  });

  test("is the authors' own when that was installed and is newer still", () => {
    const { require } = requirerOf({
      'uws-newer': { version: '20.69.0', loads: works },
      'uWebSockets.js': { version: '20.100.0', loads: works },
    });
    expect(loadUws(8192, require)).toMatchObject({ release: 'uWebSockets.js 20.100.0' });
  });

  test('is none, with a reason for each, when neither loads', () => {
    const { require } = requirerOf({ 'uWebSockets.js': { version: '20.51.4', loads: broken } });
    expect(loadUws(8192, require)).toEqual({
      uws: undefined,
      reasons: [
        "uws-newer: Cannot find module 'uws-newer'",
        'uWebSockets.js 20.51.4: supports only other platforms',
      ],
    });
  });

  test('gets the header limit from the environment while it loads, and only then', () => {
    const variable = 'UWS_HTTP_MAX_HEADERS_SIZE';
    for (const before of [undefined, '1234']) {
      if (before === undefined) delete process.env[variable];
      else process.env[variable] = before;
      let during: string | undefined;
      const { require } = requirerOf({ 'uws-newer': { version: '20.69.0', loads: works } });
      const watching = (name: string) => {
        during = process.env[variable];
        return require(name);
      };
      loadUws(8192, Object.assign(watching, { resolve: require.resolve }));
      expect([during, process.env[variable]]).toEqual(['8192', before]);
    }
    delete process.env[variable];
  });

  test('loads here', () => {
    expect(loadUws(LIMITS.headerBytesMax).uws?.App).toBeTypeOf('function');
  });
});

describe('openFront', () => {
  const options = {
    host: '127.0.0.1',
    port: 0,
    limits: LIMITS,
    handler: () => {},
    onError: () => {},
  };
  const missing = () => ({ uws: undefined, reasons: ['a: no', 'b: no'] });

  test('takes uWebSockets.js where it loads, and says nothing', async () => {
    const lines: string[] = [];
    const front = await openFront('auto', options, line => lines.push(line));
    expect([front.kind, lines]).toEqual(['uws', []]);
    await front.close();
  });

  test('falls back to node:http with one line that says why', async () => {
    const lines: string[] = [];
    const front = await openFront('auto', options, line => lines.push(line), missing);
    expect(front.kind).toBe('node');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('node:http');
    expect(lines[0]).toContain('a: no; b: no');
    await front.close();
  });

  test('does not fall back when uWebSockets.js is asked for', async () => {
    await expect(openFront('uws', options, () => {}, missing)).rejects.toThrow('a: no; b: no');
  });

  test('takes node:http when that is asked for, without a look at the other', async () => {
    const load = () => {
      throw new Error('not to be called');
    };
    const front = await openFront('node', options, () => {}, load);
    expect(front.kind).toBe('node');
    await front.close();
  });
});
