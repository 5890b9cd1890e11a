/** `headrace config`: every option with its value, default, limit and meaning, and the named caches. */
import type { CacheDefinition } from '../caches/definition.js';
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

/** As the configuration file has them, a cache a line; a comment, so that what is printed can still be read by a shell. */
export function cachesText(definitions: readonly CacheDefinition[]): string {
  const lines = definitions.map(
    definition => `#     ${JSON.stringify(definition.name)}: ${JSON.stringify(definitionJson(definition))}`,
  );
  const how =
    '# The named caches, as HEADRACE_CONFIG_FILE may change them: other members, null for none, further names.';
  return `${how}\n# {\n#   "caches": {\n${lines.join(',\n')}\n#   }\n# }\n`;
}
