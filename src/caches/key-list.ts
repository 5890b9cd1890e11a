/**
 * A list of keys, hottest first, as a file or an origin has it: a key a line, or, where a line begins with `{`, JSON:
 *
 *     popular:global:10
 *     {"key":"{braces}"}                                   a key that would else be taken for JSON
 *     {"query":"Café  NOIR","params":{"k":10}}             what a canonical key is made of
 *
 * Empty lines count for nothing; a line that is no key is passed over and counted. Read in steps: a list may be long, and
 * making a canonical key takes some microseconds.
 */
import { open } from 'node:fs/promises';
import { HeadraceError } from '../base/errors.js';
import { JsonReader } from '../base/json.js';
import { readText } from '../base/json-value.js';
import { checkId } from '../base/keys.js';
import type { CacheDefinition } from './definition.js';
import { entryId } from './entry-id.js';
import { keyOfParts } from './key-json.js';

export const KEY_LIST_BYTES_MAX = 32 * 2 ** 20;
const LINE_BYTES_MAX = 32 * 1024;
const STEP_LINES = 16;
const LINE_FEED = 10;
const BRACE = 0x7b;

export interface KeyList {
  /** With the cache's prefix. */
  readonly ids: readonly string[];
  /** Lines that are no keys. */
  readonly wrong: number;
  /** What is wrong with the first of them, '' when none is. */
  readonly problem: string;
}

export interface KeyListOptions {
  readonly cache: CacheDefinition;
  /** Keys that are read; what comes behind them is the coldest. */
  readonly keysMax: number;
  /** Lets other work of the thread go first. */
  readonly pause: () => Promise<void>;
}

export async function readKeyList(
  bytes: Uint8Array,
  { cache, keysMax, pause }: KeyListOptions,
): Promise<KeyList> {
  const ids: string[] = [];
  let wrong = 0;
  let problem = '';
  let line = 0;
  for (let start = 0; start < bytes.length && ids.length < keysMax; ) {
    const feed = bytes.indexOf(LINE_FEED, start);
    const end = feed < 0 ? bytes.length : feed;
    line++;
    try {
      const key = keyOfLine(bytes.subarray(start, end));
      if (key !== '') ids.push(entryId(cache, key));
    } catch (error) {
      if (!(error instanceof HeadraceError)) throw error;
      wrong++;
      if (problem === '') problem = `line ${line}: ${error.message}`;
    }
    start = end + 1;
    if (line % STEP_LINES === 0) await pause();
  }
  return { ids, wrong, problem };
}

/** @throws Error why it cannot be read. */
export async function readKeyListFile(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`${path} is no file`);
    if (stats.size > KEY_LIST_BYTES_MAX)
      throw new Error(`${path} has ${stats.size} bytes, ${KEY_LIST_BYTES_MAX} are allowed`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** '' where there is none. @throws HeadraceError what is wrong with the line. */
function keyOfLine(line: Uint8Array): string {
  if (line.length > LINE_BYTES_MAX)
    throw new HeadraceError('bad-id', `has ${line.length} bytes, ${LINE_BYTES_MAX} are allowed`);
  const key = line[0] === BRACE ? keyOfMember(line) : textOf(line).replace(/\r$/, '');
  if (key !== '') checkId(key);
  return key;
}

function keyOfMember(line: Uint8Array): string {
  const value = readText(new JsonReader(), line);
  const key = value instanceof Map && value.size === 1 ? value.get('key') : undefined;
  return typeof key === 'string' ? key : keyOfParts(value);
}

function textOf(line: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(line);
  } catch {
    throw new HeadraceError('bad-id', 'is not UTF-8');
  }
}
