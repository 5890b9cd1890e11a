/** The query of a path: known parameters only, each at most once, so that a misspelt one is not ignored in silence. */
import { parseDuration } from '../base/duration.js';
import { HeadraceError } from '../base/errors.js';

/** @throws HeadraceError `bad-query` for a parameter that is not in `allowed`, or comes twice. */
export function readQuery<const K extends string>(
  query: string,
  allowed: readonly K[],
): Partial<Record<K, string>> {
  const given: Partial<Record<K, string>> = {};
  if (query === '') return given;
  for (const [name, value] of new URLSearchParams(query)) {
    const known = allowed.find(other => other === name);
    if (known === undefined)
      throw new HeadraceError('bad-query', `there is no parameter '${name}' here; ${hint(allowed)}`);
    if (given[known] !== undefined)
      throw new HeadraceError('bad-query', `the parameter '${name}' comes twice`);
    given[known] = value;
  }
  return given;
}

function hint(allowed: readonly string[]): string {
  return allowed.length === 0 ? 'none is allowed' : `allowed: ${allowed.join(', ')}`;
}

/** @throws HeadraceError `bad-query` unless the value is absent, true or false. */
export function readFlag(name: string, value: string | undefined): boolean {
  if (value === undefined || value === 'false') return false;
  if (value === 'true') return true;
  throw new HeadraceError(
    'bad-query',
    `the parameter '${name}' is '${value.slice(0, 50)}'; true or false is wanted`,
  );
}

/** Milliseconds. @throws HeadraceError `bad-query` unless the value is absent, or a duration up to the limit. */
export function readWait(name: string, value: string | undefined, msMax: number): number {
  if (value === undefined) return 0;
  const ms = parseDuration(value, 0, msMax);
  if (typeof ms === 'number') return ms;
  throw new HeadraceError('bad-query', `the parameter '${name}' is '${value.slice(0, 50)}'; it ${ms}`);
}
