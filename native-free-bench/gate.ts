#!/usr/bin/env node
/**
 * `npm run gate -- 'p(95)<5ms' 'rate<0.01' …`: runs scenarios and holds the figures against thresholds
 * (`report/threshold.ts`). Exits with 0 when all hold, 99 when one is crossed, 2 when one cannot be understood, 1 when
 * the run itself failed.
 *
 * Which scenarios: those named by `--scenario`; else those that thresholds name, and for thresholds that name none the
 * usual ones.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { z } from 'zod';
import { EXIT_BAD_ARGUMENTS, runCommand, say } from './command.js';
import { writeFiles } from './report/files.js';
import { machine, makeReport } from './report/report.js';
import { machineLine, terminalReport, time } from './report/terminal.js';
import { isTime, judge, parseThreshold, type Threshold, type Verdict } from './report/threshold.js';
import { runScenarios } from './run.js';
import { scenariosNamed } from './scenarios/catalog.js';
import type { Scenario } from './scenarios/scenario.js';
import { type Settings, settingsOf, withSharedOptions } from './settings.js';
import { UserError } from './user-error.js';

const EXIT_CROSSED = 99;

/** Those whose latencies and hit ratios are a server's in good health. */
const USUAL = ['single-hit', 'batch', 'mixed', 'zipf'];

/** `["p(95)<5ms"]`, or by scope: `{"batch": ["p(95)<5ms"], "*": ["rate<0.01"]}`. */
const GatesFile = z.union([z.array(z.string()), z.record(z.string(), z.array(z.string()))]);

interface Plan {
  readonly thresholds: readonly Threshold[];
  readonly scenarios: readonly Scenario[];
  readonly settings: Settings;
}

async function gate(): Promise<number> {
  let plan: Plan;
  try {
    plan = planOf(process.argv);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT_BAD_ARGUMENTS;
  }
  const { thresholds, scenarios, settings } = plan;
  const startedAt = new Date();
  process.stdout.write(`${machineLine(machine())}\nsize ${settings.size}, seed ${settings.seed}\n\n`);
  const run = await runScenarios(scenarios, settings, say);
  writeFiles(makeReport(run, settings, startedAt), run.cases, settings);
  const verdicts = thresholds.flatMap(threshold => judge(threshold, run.cases));
  process.stdout.write(`${terminalReport(run)}\n\n${verdicts.map(verdictLine).join('\n')}\n`);
  return verdicts.every(({ passed }) => passed) ? 0 : EXIT_CROSSED;
}

function planOf(argv: readonly string[]): Plan {
  const command = withSharedOptions(new Command('gate'))
    .description('Runs scenarios and exits with 99 when a threshold is crossed.')
    .argument('[threshold...]', "such as 'p(95)<5ms' or 'batch:rate<0.01'")
    .option('--scenario <names>', 'which to run; repeated, or with commas between', collect)
    .option('--file <file>', 'JSON file of thresholds')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_BAD_ARGUMENTS))
    .parse(argv);
  const { scenario, file } = command.opts<{ scenario?: string[]; file?: string }>();
  const texts = [...command.args, ...(file === undefined ? [] : thresholdsIn(file))];
  if (texts.length === 0) throw new UserError("no thresholds: name some, such as 'p(95)<5ms', or a --file");
  const thresholds = texts.map(parseThreshold);
  const scopes = new Set(thresholds.map(({ scope }) => scope.split('/', 1)[0] ?? ''));
  const named = [...scopes].filter(scope => scope !== '');
  // Also tells a scope that is no scenario.
  scenariosNamed(named);
  const names = scenario ?? [...named, ...(scopes.has('') ? USUAL : [])];
  return { thresholds, scenarios: scenariosNamed(names), settings: settingsOf(command) };
}

function collect(text: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(',')];
}

function thresholdsIn(file: string): string[] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UserError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = GatesFile.safeParse(json);
  if (!parsed.success) throw new UserError(`${file} is neither a list of thresholds nor lists by scenario`);
  if (Array.isArray(parsed.data)) return parsed.data;
  return Object.entries(parsed.data).flatMap(([scope, texts]) =>
    scope === '*' ? texts : texts.map(text => `${scope}:${text}`),
  );
}

function verdictLine({ threshold, caseName, value, passed }: Verdict): string {
  if (value === undefined) return `✗ ${threshold.text}  no scenario that ran has this figure`;
  const figure = isTime(threshold.metric) ? time(value) : String(Number(value.toPrecision(4)));
  return `${passed ? '✓' : '✗'} ${threshold.text}  ${caseName}: ${figure}`;
}

runCommand(gate);
