/**
 * Finds a uWebSockets.js that loads on this platform, the newest first.
 *
 * Its authors do not publish on npm. Two repacked releases are dependencies, `uws-newer` and `uWebSockets.js`; under
 * the second name a user may install the authors' own release, which then counts by its version like the others. A
 * release without a binary for this platform throws when it is required.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { UwsModule } from './uws-api.js';

const PACKAGES = ['uws-newer', 'uWebSockets.js'] as const;
const HEADER_BYTES_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE';

/** Of `NodeJS.Require`, what is needed: a test puts its own in place. */
export interface Requirer {
  (name: string): unknown;
  resolve(name: string): string;
}

export interface LoadedUws {
  readonly uws: UwsModule;
  /** As `uWebSockets.js 20.51.4`. */
  readonly release: string;
}

export interface MissingUws {
  readonly uws: undefined;
  /** Why each release did not load. */
  readonly reasons: readonly string[];
}

interface Candidate {
  readonly name: string;
  readonly version: string;
}

/** `headerBytesMax` takes effect with the first load in the process: the binary reads its limit once. */
export function loadUws(
  headerBytesMax: number,
  require: Requirer = createRequire(import.meta.url),
): LoadedUws | MissingUws {
  const reasons: string[] = [];
  const candidates: Candidate[] = [];
  for (const name of PACKAGES) {
    try {
      candidates.push({ name, version: versionOf(require.resolve(name)) });
    } catch (error) {
      reasons.push(`${name}: ${firstLine(error)}`);
    }
  }
  candidates.sort((a, b) => compareVersions(b.version, a.version));
  for (const { name, version } of candidates) {
    try {
      const uws = withHeaderLimit(headerBytesMax, () => require(name));
      if (isUws(uws)) return { uws, release: `${name} ${version}` };
      reasons.push(`${name} ${version}: not the expected module`);
    } catch (error) {
      reasons.push(`${name} ${version}: ${firstLine(error)}`);
    }
  }
  return { uws: undefined, reasons };
}

/** The version in the `package.json` beside a package's main file. */
function versionOf(mainFile: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(dirname(mainFile), 'package.json'), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) {
    return String(manifest.version);
  }
  return '0.0.0';
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** The binary takes the limit from the environment, and nobody else shall: a child process reads its own. */
function withHeaderLimit<T>(bytes: number, load: () => T): T {
  const before = process.env[HEADER_BYTES_VARIABLE];
  process.env[HEADER_BYTES_VARIABLE] = String(bytes);
  try {
    return load();
  } finally {
    if (before === undefined) delete process.env[HEADER_BYTES_VARIABLE];
    else process.env[HEADER_BYTES_VARIABLE] = before;
  }
}

function isUws(module: unknown): module is UwsModule {
  return typeof module === 'object' && module !== null && 'App' in module && typeof module.App === 'function';
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}
