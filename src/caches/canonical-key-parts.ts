/** What a canonical key is made of, and what may be wrong with it: the same checks for a request and for a caller. */
import { ProblemList, shown } from '../base/problem-list.js';

export type ParamScalar = string | number | boolean | null;
export type ParamValue = ParamScalar | readonly ParamScalar[];

export interface KeyParts {
  /** Whose entry it is; nobody's key is another's. Exact. */
  readonly tenant?: string | undefined;
  /** What a person wrote; its canonical form counts. */
  readonly query?: string | undefined;
  /** What else the result depends on, in any order; names and values are exact, of their JSON type. */
  readonly params?: Readonly<Record<string, ParamValue | undefined>> | undefined;
}

export const KEY_LIMITS = {
  /** With the longest prefix of a cache, 512: the longest id. */
  keyBytes: 448,
  tenantBytes: 128,
  queryBytes: 4096,
  params: 64,
  nameBytes: 128,
  valueBytes: 4096,
  elements: 256,
  /** Of all params as they stand in the key. */
  paramsLength: 16_384,
} as const;

const PARTS: readonly string[] = ['tenant', 'query', 'params'];

/** @throws HeadraceError `invalid-key` that names all that is wrong. */
export function checkKeyParts(given: unknown): asserts given is KeyParts {
  const problems = new ProblemList();
  if (isObject(given)) checkParts(given, problems);
  else problems.add('the body', 'must be an object with query, params, tenant');
  problems.throwIfAny('invalid-key');
}

function checkParts(given: Readonly<Record<string, unknown>>, problems: ProblemList): void {
  const { tenant, query, params } = given;
  for (const name of Object.keys(given)) {
    if (!PARTS.includes(name)) problems.add(shown(name), 'is not known here; query, params, tenant are');
  }
  if (tenant !== undefined) checkText('tenant', tenant, 1, KEY_LIMITS.tenantBytes, problems);
  if (query !== undefined) checkQuery(query, problems);
  if (isObject(params)) checkParams(params, problems);
  else if (params !== undefined) return problems.add('params', 'must be an object');
  const hasParam = isObject(params) && Object.values(params).some(value => value !== undefined);
  if (query === undefined && !hasParam) problems.add('query', 'is missing, and there is no param');
}

function checkParams(params: Readonly<Record<string, unknown>>, problems: ProblemList): void {
  const entries = Object.entries(params);
  if (entries.length > KEY_LIMITS.params) {
    problems.add('params', `has ${entries.length} members, ${KEY_LIMITS.params} are allowed`);
    return;
  }
  for (const [name, value] of entries) {
    const at = `params.${shown(name)}`;
    checkText(at, name, 1, KEY_LIMITS.nameBytes, problems);
    if (!Array.isArray(value)) {
      if (value !== undefined) checkScalar(at, value, problems);
    } else if (value.length > KEY_LIMITS.elements) {
      problems.add(at, `has ${value.length} elements, ${KEY_LIMITS.elements} are allowed`);
    } else {
      for (const [index, element] of value.entries()) checkScalar(`${at}[${index}]`, element, problems);
    }
  }
}

function checkScalar(at: string, value: unknown, problems: ProblemList): void {
  if (typeof value === 'string') checkText(at, value, 0, KEY_LIMITS.valueBytes, problems);
  else if (typeof value === 'number') {
    if (!Number.isFinite(value)) problems.add(at, 'must be a finite number');
  } else if (typeof value !== 'boolean' && value !== null) {
    problems.add(at, 'must be a string, a number, true, false, null, or an array of these');
  }
}

/** Free text: of half a surrogate pair, its canonical form has U+FFFD. */
export function checkQuery(query: unknown, problems: ProblemList): void {
  if (typeof query === 'string') checkLength('query', query, 0, KEY_LIMITS.queryBytes, problems);
  else problems.add('query', 'must be a string');
}

/** An exact text: half a surrogate pair has no UTF-8, and must not become what another text is. */
export function checkText(
  at: string,
  text: unknown,
  least: number,
  most: number,
  problems: ProblemList,
): void {
  if (typeof text !== 'string') problems.add(at, 'must be a string');
  else if (!text.isWellFormed()) problems.add(at, 'has a lone surrogate');
  else checkLength(at, text, least, most, problems);
}

function checkLength(at: string, text: string, least: number, most: number, problems: ProblemList): void {
  const bytes = utf8Bytes(text);
  if (bytes < least || bytes > most) {
    problems.add(at, `has ${bytes} bytes, ${least} to ${most} are allowed`);
  }
}

/** Bytes of the text as UTF-8, a lone surrogate as the three of U+FFFD. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    const isPair = (unit & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
    if (isPair) at++;
    bytes += isPair || unit >= 0x800 ? 2 : 1;
  }
  return bytes;
}

/** A plain one: the members of a Map or of a class's instance would be passed over in silence. */
function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
