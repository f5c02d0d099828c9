/**
 * Prints the newest stored results as Markdown: `node benchmark/table.mjs [full|quick|streams|workers|boundary|soak|readme]`.
 * Without a kind: the newest comparison, of whatever extent. `readme` is what README.md shows of the newest quick one;
 * `npm run docs` puts it there.
 */
import { boundaryReportOf } from './lib/boundary-variants.mjs'
import { reportOf, summaryOf } from './lib/report.mjs'
import { newestResult } from './lib/results.mjs'
import { soakReportOf } from './lib/soak-checks.mjs'

const REPORTS = {
  full: reportOf,
  quick: reportOf,
  streams: reportOf,
  workers: reportOf,
  boundary: boundaryReportOf,
  soak: soakReportOf,
  readme: summaryOf,
}
const STORED = { readme: ['quick'] }

const [kind] = process.argv.slice(2)
if (kind !== undefined && !(kind in REPORTS))
  throw new Error(`${kind} is unknown; there are ${Object.keys(REPORTS).join(', ')}.`)
const result = newestResult(kind === undefined ? ['full', 'quick', 'streams'] : (STORED[kind] ?? [kind]))
if (result === undefined) {
  process.stderr.write(
    'There is no such result yet: `npm run bench`, `npm run bench:quick`, benchmark/boundary.mjs or benchmark/soak.mjs writes one.\n',
  )
  process.exitCode = 1
} else {
  process.stdout.write(REPORTS[kind ?? result.kind](result))
}
