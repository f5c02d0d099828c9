import { defineConfig } from 'vitest/config'

/** What is about the source, the package or the words of a user, and serves nothing: once is enough. */
const MODELESS = [
  'addon',
  'arguments',
  'bridge',
  'bundle',
  'completion',
  'config',
  'cpus',
  'detect',
  'granian/list',
  'granian/options',
  'instruments/must-not-compile',
  'instruments/wrong-thread',
  'loader',
  'options',
  'package',
  'platforms',
  'policy',
  'schema',
  'suggest',
  'target',
  'tidy',
  'typescript',
].map((name) => `!__test__/${name}.spec.ts`)

export default defineConfig({
  test: {
    setupFiles: ['__test__/harness/setup.ts'],
    // What a test imports from dist is the file that ships, run by Node and not rewritten by the runner.
    server: { deps: { external: [/\/dist\//] } },
    // A process for each file: the addon keeps state per process, and a crash must name its file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 40_000,
    // After a test everything may have to be waited for before it is given up.
    hookTimeout: 40_000,
    // A second, which is the default, is not long on a machine that does other things as well.
    expect: { poll: { timeout: 10_000 } },
    teardownTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: { name: 'loop', include: ['__test__/**/*.spec.ts'], env: { TEST_RUNTIME_MODE: 'loop' } },
      },
      {
        extends: true,
        test: {
          name: 'thread',
          // Not by `exclude`, which would take the place of what a command line excludes.
          include: ['__test__/**/*.spec.ts', ...MODELESS],
          env: { TEST_RUNTIME_MODE: 'thread' },
        },
      },
    ],
  },
})
