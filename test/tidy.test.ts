/** Architecture as a test: direction of imports, cycles, length of files and functions, dead files, what tests may not do. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** Each folder of src, and the folders it may import besides itself. The roots (src/*.ts) may import all of src. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  front: ['lookup', 'caches', 'views', 'observe', 'base'],
  cli: ['tiers', 'caches', 'base'],
  client: ['caches', 'views', 'base'],
  store: ['client', 'lookup', 'l1', 'lanes', 'caches', 'views', 'base'],
  lookup: ['l1', 'lanes', 'caches', 'views', 'observe', 'base'],
  lanes: ['l1', 'caches', 'views', 'observe', 'base'],
  resolve: ['tiers', 'l1', 'lanes', 'caches', 'views', 'observe', 'base'],
  tiers: ['views', 'observe', 'base'],
  l1: ['observe', 'base'],
  caches: ['views', 'observe', 'base'],
  views: ['observe', 'base'],
  observe: ['base'],
  base: [],
};

/** Where the threads, the commands and the WebAssembly start: nobody imports these. */
const ROOTS =
  /^(src\/cli\.ts|src\/(l1|lookup|caches\/embeddings|caches\/compression)\/wasm\/(reader|gather|score|blocks)\.ts|workers\/[^/]+\.ts|native-free-bench\/[^/]+\.ts|test\/.*)$/;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sourcesIn(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(ROOT, join(entry.parentPath, entry.name)))
    .map(path => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      const specifiers = [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(\.[^']+)'/g)];
      const imports = specifiers.map(([, name = '']) =>
        normalize(join(dirname(path), name)).replace(/\.js$/, '.ts'),
      );
      return { path, text, imports };
    });
}

const isGenerated = ({ path }: Source) => path.includes('/generated/') || path.endsWith('.generated.ts');
const shipped = ['src', 'workers', 'native-free-bench'].flatMap(sourcesIn);
const tests = sourcesIn('test');
const written = [...shipped, ...tests].filter(source => !isGenerated(source));

const folderOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1] ?? '';

describe('tidy', () => {
  it('imports go one way', () => {
    const wrong = shipped.flatMap(({ path, imports }) => {
      if (!path.startsWith('src/')) return [];
      const folder = folderOf(path);
      return imports
        .filter(target => {
          if (!target.startsWith('src/')) return true;
          if (folder === '') return false;
          const other = folderOf(target);
          // config.ts is a type to everyone below the roots: each layer is handed its options.
          if (other === '') return target !== 'src/config.ts';
          return other !== folder && !(MAY_IMPORT[folder] ?? []).includes(other);
        })
        .map(target => `${path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('tiers never import each other', () => {
    const tiers = ['lmdb', 'redis', 'mongo', 'origin'].map(name => `src/tiers/${name}.ts`);
    const wrong = shipped
      .filter(({ path }) => tiers.includes(path))
      .flatMap(({ path, imports }) =>
        imports.filter(target => tiers.includes(target)).map(target => `${path} → ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has no import cycle', () => {
    const graph = new Map(shipped.map(({ path, imports }) => [path, imports]));
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return;
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
        return;
      }
      state.set(path, 'open');
      for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
      state.set(path, 'done');
    };
    for (const path of graph.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  it('has no dead file', () => {
    const imported = new Set([...shipped, ...tests].flatMap(({ imports }) => imports));
    const dead = shipped
      .filter(source => !isGenerated(source))
      .map(({ path }) => path)
      .filter(path => !imported.has(path) && !ROOTS.test(path));
    expect(dead).toEqual([]);
  });

  it('keeps files and functions short', () => {
    const long = written.flatMap(({ path, text }) => {
      const lines = text.split('\n');
      const file = lines.length - 1 > FILE_LINES_MAX ? [`${path}: ${lines.length - 1} lines`] : [];
      return path.startsWith('test/') ? file : [...file, ...longFunctions(path, lines)];
    });
    expect(long).toEqual([]);
  });

  it('opens every file with what it is for', () => {
    const silent = shipped
      .filter(source => !isGenerated(source))
      .filter(({ text }) => !/^(#!.*\n)?\/(\*\*|\/)/.test(text))
      .map(({ path }) => path);
    expect(silent).toEqual([]);
  });

  it('has no vague file names', () => {
    const vague = written.filter(({ path }) => /(^|\/)(common|utils?|helpers?|types|misc)\.ts$/.test(path));
    expect(vague.map(({ path }) => path)).toEqual([]);
  });

  it('leaves no open ends in code, and tests neither sleep nor skip in silence', () => {
    const marks = /\b(TODO|FIXME|XXX|HACK)\b|@ts-(ignore|nocheck)/;
    const anyType = /\bas any\b|: any\b|<any\b/;
    const inTests = /\b(it|test|describe)\.(only|todo|skip)\b|\bsleep\(/;
    const self = 'test/tidy.test.ts';
    const found = written
      .filter(({ path }) => path !== self)
      .filter(
        ({ path, text }) =>
          marks.test(text) ||
          anyType.test(uncommented(text)) ||
          (path.startsWith('test/') && inTests.test(text)),
      )
      .map(({ path }) => path);
    expect(found).toEqual([]);
  });
});

function uncommented(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}

/** The code is formatted, so a function ends at the first line that closes at the indentation it began with. */
function longFunctions(path: string, lines: readonly string[]): string[] {
  const start =
    /^(\s*)(?:export |async |static |private |override |get |set )*(?:function\*? |#?\w+(?:<.*>)?\([^;]*\).*\{$|const \w+ = (?:async )?\(.*=> \{$)/;
  return lines.flatMap((line, at) => {
    const found = start.exec(line);
    if (found === null || /^\s*(if|for|while|switch|return|\}|catch)\b/.test(line)) return [];
    const end = lines.findIndex((other, index) => index > at && other.startsWith(`${found[1]}}`));
    const length = end - at + 1;
    return length > FUNCTION_LINES_MAX ? [`${path}:${at + 1}: ${length} lines`] : [];
  });
}
