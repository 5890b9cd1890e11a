/**
 * `headrace get`: records as JSON on standard output, one behind the other in the order asked for; several come by one
 * lookup. An id without a record is named on standard error.
 */
import { type Answer, CliError, isProblem, problemText, request, serverUrl, viewPath } from './client.js';

export interface GetOptions {
  readonly view: string;
  readonly url: string;
  readonly features?: string;
}

interface FoundRecord {
  readonly view: string;
  readonly id: string;
  readonly version: number;
  readonly features: Readonly<Record<string, unknown>>;
}

/** The answer to a lookup, as docs/api.md has it. */
interface LookupBody {
  readonly view: string;
  readonly features: readonly string[];
  readonly ids: readonly string[];
  readonly statuses: readonly string[];
  readonly versions: readonly number[];
  readonly columns: readonly (readonly unknown[])[];
}

/** Resolves to the number of ids that have no record, or whose record cannot be read now. */
export async function get(ids: readonly string[], options: GetOptions): Promise<number> {
  const [first] = ids;
  if (ids.length === 1 && first !== undefined) return getOne(first, options);
  const { view, features } = options;
  const url = serverUrl(options.url);
  url.pathname = `${viewPath(view)}/lookup`;
  const asked = features === undefined ? { ids } : { ids, features: features.split(',') };
  const answer = await request(url, 'POST', { type: 'application/json', bytes: JSON.stringify(asked) });
  return print(accepted(answer).body as LookupBody);
}

async function getOne(id: string, { view, url: server, features }: GetOptions): Promise<number> {
  const url = serverUrl(server);
  url.pathname = `${viewPath(view)}/records/${encodeURIComponent(id)}`;
  if (features !== undefined) url.searchParams.set('features', features);
  const answer = await request(url, 'GET');
  if (isProblem(answer, 'record-not-found')) {
    complain(problemText(answer));
    return 1;
  }
  process.stdout.write(`${recordText(accepted(answer).body as FoundRecord)}\n`);
  return 0;
}

function accepted(answer: Answer): Answer {
  if (answer.status !== 200) throw new CliError(problemText(answer));
  return answer;
}

function print({ view, features: names, ids, statuses, versions, columns }: LookupBody): number {
  let missing = 0;
  for (const [row, id] of ids.entries()) {
    if (statuses[row] === 'PRESENT') {
      const features = Object.fromEntries(names.map((name, at) => [name, columns[at]?.[row]]));
      process.stdout.write(`${recordText({ view, id, version: versions[row] ?? 0, features })}\n`);
      continue;
    }
    missing++;
    complain(
      statuses[row] === 'NOT_FOUND'
        ? `view ${view} has no record ${id}`
        : `the record ${id} cannot be read now`,
    );
  }
  return missing;
}

function complain(text: string): void {
  process.stderr.write(`headrace: ${text}\n`);
}

/** Indented, but each feature on a line of its own: an embedding has hundreds of numbers. */
export function recordText({ view, id, version, features }: FoundRecord): string {
  const lines = Object.entries(features).map(
    ([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  );
  const head = Object.entries({ view, id, version }).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},\n`,
  );
  const inner = lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n  }`;
  return `{\n${head.join('')}  "features": ${inner}\n}`;
}
