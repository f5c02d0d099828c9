/**
 * `npm run ready`: everything that must hold before a change is shown to others, but the tests.
 * `--totals FILE` writes the number of checks that passed and failed as JSON.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { readTypes } from './addon.mjs'
import { ROOT, run } from './command.mjs'
import { Totals, asCheck } from './totals.mjs'

const { values } = parseArgs({ options: { totals: { type: 'string' } } })
/** @param {...string} path */
const bin = (...path) => join(ROOT, 'node_modules', ...path)
/** @param {readonly string[]} args */
const node = async (...args) => asCheck((await run(process.execPath, args)).code)
/** @param {readonly string[]} args */
const cargo = async (...args) => asCheck((await run('cargo', args)).code)

const totals = new Totals()
// Read before the build writes it: what was committed must be what the build makes.
const typesBefore = readTypes()
await totals.add('setup', () => node('scripts/setup.mjs'))
if (totals.failed === 0) {
  await totals.add('format', () => node(bin('oxfmt', 'bin', 'oxfmt'), '--check'))
  await totals.add('lint', () => node(bin('oxlint', 'bin', 'oxlint')))
  await totals.add('types', () => node(bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.check.json'))
  await totals.add('rust format', () => cargo('fmt', '--all', '--check'))
  await totals.add('rust lint', () =>
    cargo('clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings'),
  )
  await totals.add('generated types', async () => {
    if (readTypes() === typesBefore) return { passed: 1, failed: 0 }
    throw new Error('src/native/addon.d.mts was not what the addon declares; the build has renewed it')
  })
  await totals.add('generated pages', () => node('scripts/docs.mjs', '--check'))
}
totals.finish(values.totals)
