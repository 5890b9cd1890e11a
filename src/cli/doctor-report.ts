/** Findings as a person reads them, a line each and under it what to change; and as JSON. */
import type { CheckStatus, Finding } from '../tiers/tier-check.js';

const COLOURS: Readonly<Record<CheckStatus, number>> = { ok: 32, warning: 33, problem: 31 };
const GAP = '  ';
const CHANGE = 'change: ';

/**
 *     ok       redis  url          redis://127.0.0.1:6379/0
 *     problem  redis  persistence  appendonly no: …
 *                                  change: CONFIG SET appendonly yes
 */
export function reportText(findings: readonly Finding[], isColoured: boolean): string {
  const width = (textOf: (finding: Finding) => string) =>
    Math.max(0, ...findings.map(finding => textOf(finding).length));
  const widths = [
    width(({ status }) => status),
    width(({ part }) => part),
    width(({ check }) => check),
  ] as const;
  const indent = ' '.repeat(widths[0] + widths[1] + widths[2] + 3 * GAP.length);
  const lines = findings.flatMap(({ status, part, check, says, change }) => {
    const mark = status.padEnd(widths[0]);
    const shown = isColoured ? `\u001b[${COLOURS[status]}m${mark}\u001b[0m` : mark;
    const line = [shown, part.padEnd(widths[1]), check.padEnd(widths[2]), says].join(GAP);
    const [first, ...others] = change === undefined ? [] : change.split('\n');
    if (first === undefined) return [line];
    const more = others.map(step => `${indent}${' '.repeat(CHANGE.length)}${step}`);
    return [line, `${indent}${CHANGE}${first}`, ...more];
  });
  return `${lines.join('\n')}\n\n${summary(findings)}\n`;
}

export function reportJson(findings: readonly Finding[]): string {
  const counts = { problems: count(findings, 'problem'), warnings: count(findings, 'warning') };
  return `${JSON.stringify({ ...counts, checks: findings }, undefined, 2)}\n`;
}

function summary(findings: readonly Finding[]): string {
  const named = (status: CheckStatus, noun: string) => {
    const number = count(findings, status);
    return `${number} ${noun}${number === 1 ? '' : 's'}`;
  };
  return `${named('problem', 'problem')}, ${named('warning', 'warning')}, ${count(findings, 'ok')} ok`;
}

function count(findings: readonly Finding[], status: CheckStatus): number {
  return findings.filter(finding => finding.status === status).length;
}
