#!/usr/bin/env node
/**
 * The `headrace` command: serve, load, get, config, doctor.
 *
 * Exit codes: 0 done; 1 done, but some records failed or are missing, or there are problems; 2 not done, and a sentence says why. A stack is
 * printed for a bug alone.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { DefinitionsFileError, readDefinitionsFile } from './caches/definitions-file.js';
import { CliError } from './cli/client.js';
import { type GetOptions, get } from './cli/get.js';
import { type LoadOptions, load } from './cli/load.js';
import { definitionsText, optionsText } from './cli/print-options.js';
import { type Config, ConfigError, type Given, optionRows, readConfig } from './config.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';

function withServerOptions(command: Command): Command {
  for (const { flag, standard, limit, meaning, environment } of optionRows) {
    const allowed = `${limit}; default ${standard === '' ? 'empty' : standard}; ${environment}`;
    command.addOption(new Option(`${flag} <value>`, `${meaning} (${allowed})`));
  }
  return command;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The server is loaded here alone: the other commands begin in half the time without it. */
async function runServer(config: Config): Promise<void> {
  const { StartError, serve } = await import('./main.js');
  try {
    await serve(config);
  } catch (error) {
    throw error instanceof StartError ? new CliError(error.message) : error;
  }
}

const program = new Command('headrace')
  .description('Feature store and multi-layer cache server for search frontends.')
  .version(version())
  .configureHelp({ showGlobalOptions: false })
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'headrace: ')) })
  .showHelpAfterError('(--help lists what is allowed)')
  .exitOverride();

withServerOptions(
  program
    .command('serve')
    .description('run the server until SIGTERM or Ctrl-C; a second one ends it at once'),
).action((flags: Given) => runServer(readConfig(process.env, flags)));

program
  .command('load')
  .description('load records from a file, a JSON object a line')
  .argument('<file>', 'the file: .ndjson, or .ndjson.gz')
  .requiredOption('--view <name>', 'the view they belong to')
  .option(
    '--flat',
    'features are keys of the line itself, not under "features"; keys that are no feature are left out',
  )
  .option('--url <url>', 'the server', DEFAULT_URL)
  .addHelpText(
    'after',
    '\nExits with 1 when lines failed: each is named by its number, the others are loaded.',
  )
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
  .addHelpText('after', '\nExits with 1 when a record is missing.')
  .action(async (ids: string[], options: GetOptions) => {
    const missing = await get(ids, options);
    process.exitCode = missing > 0 ? 1 : 0;
  });

withServerOptions(
  program
    .command('config')
    .description(
      'print every option with its value, default, limit and meaning, the named caches, and what events invalidate',
    ),
).action((flags: Given) => {
  const config = readConfig(process.env, flags);
  const definitions = readDefinitionsFile(config.configFile);
  process.stdout.write(`${optionsText(config)}\n${definitionsText(definitions)}`);
});

withServerOptions(
  program
    .command('doctor')
    .description('check configuration, machine, disk, Redis and MongoDB, and say what to change')
    .option('--json', 'print the findings as JSON'),
)
  .addHelpText('after', '\nChanges nothing. Exits with 1 when there is a problem; warnings are none.')
  .action(async ({ json, ...flags }: Given & { readonly json?: true }) => {
    // Loaded here alone, as the server is: it brings the clients of Redis and MongoDB.
    const { examine, reportJson, reportText } = await import('./cli/doctor.js');
    const findings = await examine(process.env, flags);
    const isColoured = process.stdout.isTTY && !process.env['NO_COLOR'];
    process.stdout.write(json === true ? reportJson(findings) : reportText(findings, isColoured));
    process.exitCode = findings.some(({ status }) => status === 'problem') ? 1 : 0;
  });

// `headrace config | head` closes the pipe before all is written.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

program.parseAsync().catch((error: unknown) => {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    return;
  }
  const isTold = [CliError, ConfigError, DefinitionsFileError].some(kind => error instanceof kind);
  if (!isTold || !(error instanceof Error)) throw error;
  process.stderr.write(`headrace: ${error.message}\n`);
  process.exitCode = 2;
});
