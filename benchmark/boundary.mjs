/**
 * What one request costs on the JavaScript side of the border: `dispatch`, adapter and application, without sockets
 * and without the addon, whose place a stand-in takes that only counts. Small creep shows here long before it shows
 * under load. `node benchmark/boundary.mjs [--rounds N] [--milliseconds N]`
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { measureVariant } from './lib/boundary-loop.mjs'
import { VARIANTS, boundaryReportOf, checkBoundary } from './lib/boundary-variants.mjs'
import { commitOf, machineOf, writeResult } from './lib/results.mjs'
import { ROOT } from './lib/servers.mjs'

const DEFAULTS = { rounds: 7, milliseconds: 700 }

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string' },
    milliseconds: { type: 'string' },
    // Set by this program for its own child processes.
    variant: { type: 'string' },
  },
})
const settings = {
  rounds: Number(options.rounds ?? DEFAULTS.rounds),
  milliseconds: Number(options.milliseconds ?? DEFAULTS.milliseconds),
}

if (options.variant !== undefined) {
  const nanoseconds = await measureVariant(VARIANTS[options.variant], settings.milliseconds)
  process.stdout.write(JSON.stringify(nanoseconds))
} else if (existsSync(`${ROOT}dist/index.js`)) {
  compare()
} else {
  process.stderr.write('gneiss is not built: run `npm run build` first.\n')
  process.exitCode = 1
}

/** Every variant in a process of its own, so that none runs code that another has made slow; interleaved. */
function compare() {
  const names = Object.keys(VARIANTS)
  const samples = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < settings.rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) samples[name].push(runOnce(name))
    process.stderr.write(`round ${round + 1}/${settings.rounds}\n`)
  }
  const result = {
    kind: 'boundary',
    date: new Date().toISOString(),
    machine: machineOf(),
    versions: { commit: commitOf(), node: process.versions.node, v8: process.versions.v8 },
    settings,
    samples,
    targets: checkBoundary(samples),
  }
  process.stdout.write(`${boundaryReportOf(result)}\n`)
  const isChanged = options.rounds !== undefined || options.milliseconds !== undefined
  process.stdout.write(
    isChanged ? 'Not written: the run was changed by options.\n' : `Written to ${writeResult(result)}\n`,
  )
}

function runOnce(name) {
  const file = fileURLToPath(import.meta.url)
  const output = execFileSync(
    process.execPath,
    [file, '--variant', name, '--milliseconds', String(settings.milliseconds)],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  )
  return JSON.parse(output.slice(output.lastIndexOf('\n') + 1))
}
