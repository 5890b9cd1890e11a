/** Writes the report as JSON, and each latency distribution as a `.hgrm` file (milliseconds) for plotting. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type CaseResult, caseName, latenciesOf } from '../scenarios/scenario.js';
import type { Settings } from '../settings.js';
import { UserError } from '../user-error.js';
import type { Report } from './report.js';

const TICKS_PER_HALF_DISTANCE = 5;
const US_PER_MS = 1000;

/** @throws UserError when a file cannot be written. Returns the report's path. */
export function writeFiles(report: Report, cases: readonly CaseResult[], settings: Settings): string {
  const reportFile = settings.json ?? join(settings.out, 'report.json');
  try {
    mkdirSync(settings.out, { recursive: true });
    mkdirSync(dirname(reportFile), { recursive: true });
    writeFileSync(reportFile, `${JSON.stringify(report, null, 2)}\n`);
    for (const result of cases) {
      const latencies = latenciesOf(result);
      if (latencies === undefined) continue;
      const { latencyUs } = latencies.tally;
      const text = latencyUs.outputPercentileDistribution(TICKS_PER_HALF_DISTANCE, US_PER_MS);
      writeFileSync(join(settings.out, `${caseName(result).replace('/', '-')}.hgrm`), text);
    }
  } catch (error) {
    throw new UserError(
      `the report cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return reportFile;
}
