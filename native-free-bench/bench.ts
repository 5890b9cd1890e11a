#!/usr/bin/env node
/**
 * `npm run bench -- [scenario…]`: measures headrace, alone or side by side with rivals, and writes a table, a JSON
 * report (`report/report.ts`) and `.hgrm` files.
 *
 * Latency comes from an open loop on an idle-to-moderate server (`load/open-loop.ts`); CPU time per request and
 * throughput from a closed loop (`load/closed-loop.ts`). A scenario without a closed loop has the open loop's.
 */
import { Command } from 'commander';
import { runCommand, say } from './command.js';
import { writeFiles } from './report/files.js';
import { machine, makeReport } from './report/report.js';
import { machineLine, terminalReport } from './report/terminal.js';
import { RIVALS } from './rivals/rival.js';
import { runScenarios } from './run.js';
import { SCENARIOS, scenariosNamed } from './scenarios/catalog.js';
import { settingsOf, withSharedOptions } from './settings.js';

async function bench(): Promise<number> {
  const command = withSharedOptions(new Command('bench'))
    .description('Measures headrace.')
    .argument('[scenario...]', 'which to run; all when none is named')
    .option('--list', 'say which scenarios and rivals there are')
    .parse();
  if (command.opts<{ list?: boolean }>().list === true) {
    process.stdout.write(`${list()}\n`);
    return 0;
  }
  const settings = settingsOf(command);
  const scenarios = scenariosNamed(command.args);
  const startedAt = new Date();
  process.stdout.write(`${machineLine(machine())}\nsize ${settings.size}, seed ${settings.seed}\n\n`);
  const run = await runScenarios(scenarios, settings, say);
  const file = writeFiles(makeReport(run, settings, startedAt), run.cases, settings);
  process.stdout.write(`${terminalReport(run)}\n\nreport: ${file}\n`);
  return 0;
}

function list(): string {
  const lines = SCENARIOS.map(({ name, about }) => `  ${name.padEnd(20)}${about}`);
  const rivals = Object.entries(RIVALS).map(([name, about]) => `  ${name.padEnd(20)}${about}`);
  return ['scenarios', ...lines, 'rivals', ...rivals].join('\n');
}

runCommand(bench);
