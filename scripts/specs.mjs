/** Runs the specs on a release of Node, counts them and names what failed. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'

import { ROOT, run } from './command.mjs'

/**
 * More failures than these are no matter of a busy machine, and are not tried again.
 */
const SECOND_CHANCES = 5

/**
 * @typedef {object} Specs
 * @property {readonly string[]} [filters] Files and folders; default: all.
 * @property {number} [timeout] Milliseconds after which the run is ended and has failed.
 * @property {boolean} [long] Whether the tests of size and endurance take their full measure.
 */

/**
 * Runs specs. What failed is run once more by itself: it counts as failed if it fails again, and is named as
 * unsteady if it does not, because it is a defect all the same, of the test or of what it tests. The long run
 * gives no second chance.
 * @param {string} node The binary that runs the specs, and the servers that they start.
 * @param {Specs} [specs]
 * @returns {Promise<import('./totals.mjs').Counts>}
 */
export async function runSpecs(node, { filters = [], timeout, long = false } = {}) {
  const first = await vitest(node, { filters, timeout, long })
  const failures = first.failures.map(({ title }) => `failed: ${title}`)
  if (long || first.failed === 0 || first.failed !== first.failures.length || first.failed > SECOND_CHANCES) {
    return { passed: first.passed, failed: first.failed, notes: failures }
  }
  process.stdout.write(`\n${failures.join('\n')}\nonce more, by themselves:\n`)
  const files = [...new Set(first.failures.map(({ file }) => file))]
  const second = await vitest(node, { filters: files, timeout, long })
  if (second.failed > 0) {
    const again = second.failures.map(({ title }) => `failed twice: ${title}`)
    return { passed: first.passed, failed: first.failed, notes: [...failures, ...again] }
  }
  const notes = first.failures.map(({ title }) => `unsteady, passed in its second run: ${title}`)
  return { passed: first.passed + first.failed, failed: 0, notes }
}

/**
 * @param {string} node
 * @param {{ filters: readonly string[], timeout: number | undefined, long: boolean }} specs
 */
async function vitest(node, { filters, timeout, long }) {
  const folder = mkdtempSync(join(tmpdir(), 'gneiss-test-'))
  const report = join(folder, 'report.json')
  try {
    const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...filters]
    const { code } = await run(node, [join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'), ...args], {
      env: {
        // What a spec starts by name is this release as well.
        PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`,
        ...(long ? { TEST_SCALE: 'full' } : {}),
      },
      ...(timeout === undefined ? {} : { timeout }),
    })
    const outcome = readReport(report)
    return code !== 0 && outcome.failed === 0 ? { ...outcome, failed: 1 } : outcome
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * A file that could not be loaded has no tests to count: it is one failure.
 * @param {string} report
 */
function readReport(report) {
  /** @type {{ name: string, status: string, assertionResults: { status: string, fullName: string, failureMessages?: string[] }[] }[]} */
  const results = JSON.parse(readFileSync(report, 'utf8')).testResults
  const tests = results.flatMap(({ name, status, assertionResults }) => {
    const file = relative(ROOT, name)
    if (status === 'failed' && assertionResults.length === 0) return [{ file, status, title: file }]
    return assertionResults.map(({ status: verdict, fullName, failureMessages = [] }) => ({
      file,
      status: verdict,
      title: `${file}: ${fullName}: ${(failureMessages[0] ?? '').split('\n', 1)[0]}`,
    }))
  })
  const failures = tests.filter(({ status }) => status === 'failed')
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: failures.length,
    failures,
  }
}
