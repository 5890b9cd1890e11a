/** `headrace config`: every option with its value, default, limit and meaning, the named caches, and what events invalidate. */
import { CACHES_STANDARD } from '../caches/definition.js';
import { type Definitions, definitionJson } from '../caches/definitions-file.js';
import { eventRulesJson } from '../caches/events/event-rules.js';
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

/** As the configuration file has them, a cache or a type of event a line; in comments, as the options are lines of their own kind. */
export function definitionsText({ caches, events }: Definitions): string {
  const there = caches.map(cache => [cache.name, definitionJson(cache)] as const);
  const removed = CACHES_STANDARD.filter(({ name }) => caches.every(other => other.name !== name));
  const ofCaches = [...there, ...removed.map(({ name }) => [name, null] as const)];
  const ofEvents = [...events].map(([type, rules]) => [type, eventRulesJson(rules)] as const);
  const members = [memberText('caches', ofCaches), memberText('events', ofEvents)];
  const how =
    '# The named caches, and what events invalidate, as HEADRACE_CONFIG_FILE has them; it says only what is to be otherwise.';
  return `${how}\n# {\n${members.join(',\n')}\n# }\n`;
}

function memberText(name: string, members: readonly (readonly [string, unknown])[]): string {
  const lines = members.map(([key, value]) => `#     ${JSON.stringify(key)}: ${JSON.stringify(value)}\n`);
  return `#   ${JSON.stringify(name)}: {\n${lines.join(',\n').replaceAll('\n,', ',')}#   }`;
}
