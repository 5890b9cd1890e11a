#!/usr/bin/env node
/** The `headrace` command: serve, load, get, config. A user's mistake gets a sentence and exit code 2, never a stack. */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { CliError } from './cli/client.js';
import { type GetOptions, get } from './cli/get.js';
import { type LoadOptions, load } from './cli/load.js';
import { printOptions } from './cli/print-options.js';
import { ConfigError, type Given, optionRows, readConfig } from './config.js';
import { StartError, serve } from './main.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';

function withServerOptions(command: Command): Command {
  for (const { flag, standard, limit, meaning, environment } of optionRows) {
    command.addOption(
      new Option(`${flag} <value>`, `${meaning} (${limit}; default '${standard}'; ${environment})`),
    );
  }
  return command;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const program = new Command('headrace')
  .description('Feature store and multi-layer cache server for search frontends.')
  .version(version())
  .showHelpAfterError('(--help lists what is allowed)');

withServerOptions(program.command('serve').description('run the server')).action((flags: Given) =>
  serve(readConfig(process.env, flags)),
);

program
  .command('load')
  .description('load records from a file, a JSON object a line (.ndjson or .ndjson.gz)')
  .argument('<file>', 'the file')
  .requiredOption('--view <name>', 'the view they belong to')
  .option(
    '--flat',
    'features are keys of the line itself, not under "features"; keys that are no feature are left out',
  )
  .option('--url <url>', 'the server', DEFAULT_URL)
  .action(async (file: string, options: LoadOptions) => {
    const failed = await load(file, options);
    process.exitCode = failed > 0 ? 1 : 0;
  });

program
  .command('get')
  .description('print the features of one record, or of several by one lookup')
  .argument('<id...>', 'ids of records')
  .requiredOption('--view <name>', 'the view they belong to')
  .option('--features <names>', 'only these, separated by commas')
  .option('--url <url>', 'the server', DEFAULT_URL)
  .action((ids: string[], options: GetOptions) => get(ids, options));

withServerOptions(
  program.command('config').description('print every option with its value, default, limit and meaning'),
).action((flags: Given) => printOptions(readConfig(process.env, flags)));

program.parseAsync().catch((error: unknown) => {
  if (!(error instanceof CliError || error instanceof ConfigError || error instanceof StartError))
    throw error;
  process.stderr.write(`headrace: ${error.message}\n`);
  process.exitCode = 2;
});
