// Tests run on the compiled code, so what is tested is what ships, and worker threads start from real files.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['dist/test/**/*.test.js'],
    exclude: ['node_modules/**'],
    pool: 'forks',
    // Most tests wait for servers, or for time to pass: one file a core, and the core that vitest would keep for itself.
    maxWorkers: '100%',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
