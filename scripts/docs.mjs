/**
 * `npm run docs`: prints the reference pages from the tables that the code itself uses.
 * With `--check` nothing is written: a page that is not what would be printed fails the run.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { ERROR_CODES } from '../dist/errors.js'
import { ROOT } from './command.mjs'

const NOTE = '<!-- Printed by `npm run docs`; edit the table in the source instead. -->'

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })

for (const [path, page] of Object.entries({ 'docs/errors.md': errorsPage() })) {
  const file = join(ROOT, path)
  if (!values.check) {
    writeFileSync(file, page)
  } else if (readFileSync(file, 'utf8') !== page) {
    process.stderr.write(`${path} is not what its table prints; run \`npm run docs\`\n`)
    process.exitCode = 1
  }
}

function errorsPage() {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { fault, exit, meaning }]) => `| \`${code}\` | ${fault} | ${exit} | ${meaning} |`,
  )
  return `${NOTE}

# Error codes

Every error of gneiss carries one of these as \`error.code\`. A code keeps its meaning for ever.

- **Fault** says whose it is: the peer's, the application's, the configuration's, or the server's own.
- **Exit** is the exit code of the command line when this error ends it.

| Code | Fault | Exit | Meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}
