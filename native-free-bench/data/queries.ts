/**
 * Queries that people would type: the names of Debian's packages, in the spellings that a search box meets. A canonical
 * key makes one of all of them.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { canonicalKey } from '../../src/client/index.js';
import { UserError } from '../user-error.js';
import type { Random } from './random.js';

const SAMPLE = fileURLToPath(new URL('../../../examples/debian-packages.ndjson.gz', import.meta.url));
const FULL_WIDTH = 0xfee0;

/**
 * The ids of the documents in the file, a JSON object a line, gzipped or not.
 * @throws UserError when there is none, or a line is no document.
 */
export function readQueries(file = SAMPLE): string[] {
  try {
    const bytes = readFileSync(file);
    const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
    const lines = text.split('\n').filter(line => line !== '');
    if (lines.length === 0) throw new Error('it has no line');
    return lines.map((line, n) => {
      const document: unknown = JSON.parse(line);
      if (typeof document !== 'object' || document === null || !('id' in document))
        throw new Error(`line ${n + 1} has no id`);
      return String(document.id);
    });
  } catch (error) {
    throw new UserError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** As somebody would type it: mostly as it is, else with other case, width, or white space. */
export function typed(query: string, random: Random): string {
  switch (random.below(8)) {
    case 0:
      return query.toUpperCase();
    case 1:
      return query.slice(0, 1).toUpperCase() + query.slice(1);
    case 2:
      return ` ${query}  `;
    case 3:
      // As an input method for Chinese or Japanese writes it.
      return query.replace(/[!-~]/g, each => String.fromCharCode(each.charCodeAt(0) + FULL_WIDTH));
    default:
      return query;
  }
}

/** What a search frontend caches the first ten results of a query by. */
export function queryKey(query: string): string {
  return canonicalKey({ query, params: { k: 10 } });
}
