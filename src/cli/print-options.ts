/** `headrace config`: every option with its value, default, limit and meaning. */
import { type Config, optionRows, printConfig } from '../config.js';

export function printOptions(config: Config): void {
  const values = printConfig(config);
  const blocks = optionRows.map(({ name, environment, flag, standard, limit, meaning }) => {
    const value = name === 'adminKey' && config.adminKey !== '' ? '(set)' : (values.get(name) ?? '');
    const changed = value === standard ? '' : '  (changed)';
    return [
      `${environment}=${value}${changed}`,
      `    ${meaning}`,
      `    flag ${flag}, default '${standard}', allowed: ${limit}`,
    ].join('\n');
  });
  process.stdout.write(`${blocks.join('\n\n')}\n`);
}
