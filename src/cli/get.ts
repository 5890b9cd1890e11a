/** `headrace get`: one record, or several by one lookup, printed as JSON. */
import { CliError, problemText, request, serverUrl, viewPath } from './client.js';

export interface GetOptions {
  readonly view: string;
  readonly url: string;
  readonly features?: string;
}

export async function get(ids: readonly string[], options: GetOptions): Promise<void> {
  const { view, features } = options;
  const url = serverUrl(options.url);
  const [first] = ids;
  if (ids.length === 1 && first !== undefined) {
    url.pathname = `${viewPath(view)}/records/${encodeURIComponent(first)}`;
    if (features !== undefined) url.searchParams.set('features', features);
  } else {
    url.pathname = `${viewPath(view)}/lookup`;
  }
  const asked = features === undefined ? { ids } : { ids, features: features.split(',') };
  const answer =
    ids.length === 1
      ? await request(url, 'GET')
      : await request(url, 'POST', { type: 'application/json', bytes: JSON.stringify(asked) });
  if (answer.status !== 200) throw new CliError(problemText(answer));
  process.stdout.write(`${JSON.stringify(answer.body, null, 2)}\n`);
}
