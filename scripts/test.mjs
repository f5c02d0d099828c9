/**
 * `npm test`: installs, builds and runs every test; ends with `N passed, N failed`.
 *
 * - `--full` (`npm run test:nodes`) runs the whole suite on every Node release, not only the smoke;
 * - `--long` (`npm run test:long`) gives the tests of size and endurance their full measure;
 * - `--node MAJOR=PATH` names a Node binary instead of installing one; may be repeated;
 * - `--totals FILE` writes the sum as JSON.
 */
import { parseArgs } from 'node:util'

import { run } from './command.mjs'
import { NODES, nodeBinary } from './nodes.mjs'
import { runSpecs } from './specs.mjs'
import { Totals, asCheck } from './totals.mjs'

/** What depends on the release: once around each interface, the loop driver, loading, stopping. */
const SMOKE = [
  '__test__/smoke',
  '__test__/driver.spec.ts',
  '__test__/examples.spec.ts',
  '__test__/start.spec.ts',
  '__test__/teardown.spec.ts',
]
/** The smoke is a promise of seconds; one that hangs must not take the run with it. */
const SMOKE_MILLISECONDS = 60_000

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    node: { type: 'string', multiple: true, default: [] },
    totals: { type: 'string' },
  },
})
const named = new Map(values.node.map((entry) => /** @type {[string, string]} */ (entry.split('=', 2))))

const totals = new Totals()
await totals.add('setup', async () => asCheck((await run(process.execPath, ['scripts/setup.mjs'])).code))
if (totals.failed === 0) {
  await totals.add('cargo test', () => cargoTest(['--workspace', '--no-fail-fast'], {}))
  await totals.add('models of what crosses threads', models)
  await totals.add(`specs on Node ${process.versions.node}`, () => runSpecs(process.execPath, { long: values.long }))
  for (const [major, version] of Object.entries(NODES)) {
    const where = named.get(major) ?? version
    await totals.add(`${values.full ? 'specs' : 'smoke'} on Node ${where}`, async () => {
      const binary = named.get(major) ?? (await nodeBinary(version))
      return runSpecs(
        binary,
        values.full ? { long: values.long } : { filters: SMOKE, timeout: SMOKE_MILLISECONDS, long: values.long },
      )
    })
  }
}
totals.finish(values.totals)

/**
 * Every interleaving of the threaded driver's parts, up to so many needless interruptions of a thread. In a
 * target folder of its own, because its cfg would have everything built again.
 */
function models() {
  return cargoTest(['--package', 'gneiss-core', '--lib', '--target-dir', 'target/loom', 'thread::model'], {
    RUSTFLAGS: '--cfg gneiss_loom',
    CARGO_PROFILE_TEST_OPT_LEVEL: '2',
    LOOM_MAX_PREEMPTIONS: values.long ? '5' : '3',
  })
}

/**
 * The crates' own tests, on the development profile: it has the checks that the release leaves out.
 * @param {readonly string[]} args
 * @param {Record<string, string>} env
 */
async function cargoTest(args, env) {
  const { code, output } = await run('cargo', ['test', '--locked', ...args], {
    collect: true,
    env: { ...env, ...(values.long ? { TEST_SCALE: 'full' } : {}) },
  })
  const counts = {
    passed: 0,
    failed: 0,
    notes: [...output.matchAll(/^test (.+) \.\.\. FAILED$/gm)].map(([, name]) => `failed: ${name}`),
  }
  for (const line of output.split('\n')) {
    const found = /^test result: \w+\. (\d+) passed; (\d+) failed;/.exec(line)
    counts.passed += Number(found?.[1] ?? 0)
    counts.failed += Number(found?.[2] ?? 0)
  }
  // A program that ends with an error although it counted no failure has failed in another way.
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts
}
