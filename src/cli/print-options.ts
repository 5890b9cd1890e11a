/** `headrace config`: every option with its value, default, limit and meaning, and the named caches. */
import { CACHES_STANDARD, type CacheDefinition } from '../caches/definition.js';
import { definitionJson } from '../caches/definitions-file.js';
import { type Config, optionRows, printConfig } from '../config.js';

const SECRETS: ReadonlySet<string> = new Set(['adminKey']);

export function optionsText(config: Config): string {
  const values = printConfig(config);
  const blocks = optionRows.map(({ name, environment, flag, standard, limit, meaning }) => {
    const value = values.get(name) ?? '';
    const shown = SECRETS.has(name) && value !== '' ? '(set, not shown)' : value;
    const changed = value === standard ? '' : '   (changed)';
    return [
      `${environment}=${shown}${changed}`,
      `    ${meaning}`,
      `    ${flag}, default ${standard === '' ? 'empty' : standard}, allowed: ${limit}`,
    ].join('\n');
  });
  const how =
    '# Set in the environment, or by flags of headrace serve, which win. (changed): not the default.';
  return `${how}\n\n${blocks.join('\n\n')}\n`;
}

/** As the configuration file has them, a cache a line; in comments, as the options are lines of their own kind. */
export function cachesText(definitions: readonly CacheDefinition[]): string {
  const there = definitions.map(definition => [definition.name, definitionJson(definition)] as const);
  const removed = CACHES_STANDARD.filter(({ name }) => definitions.every(other => other.name !== name));
  const lines = [...there, ...removed.map(({ name }) => [name, null] as const)].map(
    ([name, options]) => `#     ${JSON.stringify(name)}: ${JSON.stringify(options)}`,
  );
  const how = '# The named caches, as HEADRACE_CONFIG_FILE has them; it says only what is to be otherwise.';
  return `${how}\n# {\n#   "caches": {\n${lines.join(',\n')}\n#   }\n# }\n`;
}
