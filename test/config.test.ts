/** Options: defaults, sources, limits, and what a user reads when one is wrong. */
import { describe, expect, it } from 'vitest';
import { ConfigError, optionRows, printConfig, readConfig } from '../src/config.js';

describe('config', () => {
  it('has the defaults of the contract', () => {
    const config = readConfig({});
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      adminPort: 9090,
      dataDir: './data',
      deadline: 200,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('takes flags over the environment over defaults', () => {
    const environment = { HEADRACE_PORT: '1', HEADRACE_L1_BYTES: '2MiB' };
    expect(readConfig(environment)).toMatchObject({ port: 1, l1Bytes: 2 * 2 ** 20 });
    expect(readConfig(environment, { port: '2' }).port).toBe(2);
  });

  it('names every wrong option with its value and limit', () => {
    const environment = {
      HEADRACE_PORT: '70000',
      HEADRACE_DEADLINE: 'soon',
      HEADRACE_FRONT: 'apache',
      HEADRACE_DATA_DIR: '',
    };
    const read = () => readConfig(environment, { lanes: '0' });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/HEADRACE_PORT is '70000', allowed: 0 to 65535/);
    expect(read).toThrow(/HEADRACE_DEADLINE is 'soon', allowed: 1ms to 10m/);
    expect(read).toThrow(/HEADRACE_FRONT is 'apache', allowed: auto, uws, node/);
    expect(read).toThrow(/HEADRACE_DATA_DIR is '', allowed: not empty/);
    expect(read).toThrow(/--lanes is '0', allowed: 1 to 64/);
  });

  it('does not ignore a misspelt option', () => {
    expect(() => readConfig({ HEADRACE_L1_BYTE: '1GiB' })).toThrow(/HEADRACE_L1_BYTE is no option/);
    expect(() => readConfig({ HEADRACE_TEST_FULL: '1' })).not.toThrow();
  });

  it('opens the admin port beyond loopback only with a key', () => {
    expect(() => readConfig({ HEADRACE_ADMIN_HOST: '0.0.0.0' })).toThrow(/set HEADRACE_ADMIN_KEY/);
    expect(readConfig({ HEADRACE_ADMIN_HOST: '0.0.0.0', HEADRACE_ADMIN_KEY: 'k' }).adminKey).toBe('k');
  });

  it('wants a queue that takes the largest body and the longest line', () => {
    expect(() => readConfig({ HEADRACE_QUEUE_BYTES_MAX: '1MiB' })).toThrow(
      /HEADRACE_QUEUE_BYTES_MAX is 1MiB; at least 2MiB/,
    );
    expect(() => readConfig({ HEADRACE_LINE_BYTES_MAX: '16MiB', HEADRACE_QUEUE_BYTES_MAX: '16MiB' })).toThrow(
      /at least 17MiB/,
    );
    expect(readConfig({ HEADRACE_QUEUE_BYTES_MAX: '2MiB' }).queueBytesMax).toBe(2 * 2 ** 20);
  });

  it('prints each option so that it can be read back', () => {
    const config = readConfig({});
    const environment = Object.fromEntries(
      optionRows.map(({ name, environment: variable }) => [variable, printConfig(config).get(name)]),
    );
    expect(readConfig(environment)).toEqual(config);
    for (const row of optionRows) expect(row.meaning.length).toBeGreaterThan(10);
  });

  it('refuses each option one past its limits', () => {
    for (const { name, limit } of optionRows) {
      const range = /^(\d+) to (\d+)$/.exec(limit);
      if (range === null) continue;
      const [low, high] = [Number(range[1]), Number(range[2])];
      expect(() => readConfig({}, { [name]: String(high + 1) }), name).toThrow(limit);
      if (low > 0) expect(() => readConfig({}, { [name]: String(low - 1) }), name).toThrow(limit);
      expect(() => readConfig({}, { [name]: String(high) }), name).not.toThrow();
    }
  });
});
