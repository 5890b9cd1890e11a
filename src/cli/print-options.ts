/** `headrace config`: every option with its value, default, limit and meaning. */
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
