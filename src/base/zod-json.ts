/** Between strict JSON and zod: objects as zod wants them, texts that another function reads, problems with their places. */
import * as z from 'zod';
import type { ProblemDetail } from './errors.js';
import { shown } from './problem-list.js';

/** A string that another function reads or says what is wrong with. */
export function parsed(read: (text: string) => number | string) {
  return z.string().transform((text, context): number => {
    const value = read(text);
    if (typeof value !== 'string') return value;
    context.addIssue({ code: 'custom', message: value });
    return z.NEVER;
  });
}

/** Without a prototype, so that no key can mean anything but itself. */
export function plainObject(members: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, value] of members) object[key] = value;
  return object;
}

/** What is wrong where; `at` is '' for the whole. */
export function problemsOf(error: z.ZodError): ProblemDetail[] {
  return error.issues.flatMap(issue => {
    const at = issue.path.map(step => shown(String(step))).join('.');
    if (issue.code !== 'unrecognized_keys') return { at, detail: issue.message };
    return issue.keys.map(key => ({
      at: at === '' ? shown(key) : `${at}.${shown(key)}`,
      detail: 'is not known here',
    }));
  });
}
