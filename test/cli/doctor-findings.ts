/** What `headrace doctor` finds with some options, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { examine, reportJson, reportText } from '../../src/cli/doctor.js';
import type { Given } from '../../src/config.js';
import type { Finding } from '../../src/tiers/tier-check.js';

/** In a data directory of its own that is small; `secret` must stand nowhere in what is printed. */
export async function findingsOf(flags: Given, secret?: string): Promise<readonly Finding[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'headrace-doctor-'));
  try {
    const findings = await examine(
      {},
      { dataDir, l1Bytes: '16MiB', lanes: '1', diskFreeMin: '1MiB', ...flags },
    );
    const printed = reportText(findings, false) + reportJson(findings);
    if (secret !== undefined && printed.includes(secret)) throw new Error(`a secret is printed: ${printed}`);
    return findings;
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** The findings about one part as `status check: says`. */
export function linesOf(findings: readonly Finding[], part: string): string[] {
  return findings
    .filter(finding => finding.part === part)
    .map(({ status, check, says }) => `${status} ${check}: ${says}`);
}

/** What to change, of the findings of one part that are not ok, by check. */
export function changesOf(findings: readonly Finding[], part: string): Record<string, string> {
  const changed = findings.filter(finding => finding.part === part && finding.change !== undefined);
  return Object.fromEntries(changed.map(({ check, change }) => [check, change ?? '']));
}
