import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.spec.ts'],
    setupFiles: ['__test__/harness/setup.ts'],
    // What a test imports from dist is the file that ships, run by Node and not rewritten by the runner.
    server: { deps: { external: [/\/dist\//] } },
    // A process for each file: the addon keeps state per process, and a crash must name its file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 20_000,
  },
})
