/**
 * `npm run docs`: prints the reference pages and the schema of the configuration file from the tables that the code
 * itself uses, and the figures of the README from the newest stored measurement.
 * With `--check` nothing is written: a page that is not what would be printed fails the run.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { ERROR_CODES } from '../dist/errors.js'
import { HEADINGS, OPTION_KEYS, entryOf, environmentNameOf, flagOf } from '../dist/options.js'
import { formatValue, rangeOf } from '../dist/options/values.js'
import { EXIT_ROWS, SIGNAL_ROWS } from '../dist/workers/tables.js'
import { ROOT } from './command.mjs'
import { hardeningPage } from './hardening.mjs'
import { configSchema } from './schema.mjs'

const NOTE = '<!-- Printed by `npm run docs`; edit the table in the source instead. -->'

const FIGURES_START = '<!-- Printed by `npm run docs` from the newest quick result in benchmark/results. -->'
const FIGURES_END = '<!-- End of what is printed. -->'

const TABLE_START = '<!-- Printed by `npm run docs` from src/workers/tables.ts. -->'

const OPTION_COLUMNS =
  '| Key | Flag | Environment | Default | Values | Meaning |\n| --- | --- | --- | --- | --- | --- |'

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })

const pages = {
  'docs/errors.md': errorsPage(),
  'docs/hardening.md': hardeningPage(NOTE),
  'docs/options.md': optionsPage(),
  'docs/deployment.md': deployment(),
  'README.md': readme(),
  'schema.json': `${JSON.stringify(configSchema(), undefined, 2)}\n`,
}
for (const [path, page] of Object.entries(pages)) {
  const file = join(ROOT, path)
  if (!values.check) {
    writeFileSync(file, page)
  } else if (readFileSync(file, 'utf8') !== page) {
    process.stderr.write(`${path} is not what its source prints; run \`npm run docs\`\n`)
    process.exitCode = 1
  }
}

function readme() {
  const figures = execFileSync(process.execPath, ['benchmark/table.mjs', 'readme'], { cwd: ROOT, encoding: 'utf8' })
  return between(readFileSync(join(ROOT, 'README.md'), 'utf8'), FIGURES_START, FIGURES_END, figures)
}

function deployment() {
  /** @param {string} text */
  const code = (text) => `\`${text}\``
  const signals = SIGNAL_ROWS.map(
    ({ signals: names, master, worker }) => `| ${names.map(code).join(', ')} | ${master} | ${worker} |`,
  )
  const exits = EXIT_ROWS.map(({ code: exit, from, meaning }) => `| ${exit} | ${from} | ${meaning} |`)
  const page = readFileSync(join(ROOT, 'docs/deployment.md'), 'utf8')
  const signalTable = `| Signal | Master | Worker |\n| --- | --- | --- |\n${signals.join('\n')}\n`
  const exitTable = `| Code | From | Meaning |\n| --- | --- | --- |\n${exits.join('\n')}\n`
  const withSignals = between(page, TABLE_START, '<!-- End of signals. -->', signalTable)
  return between(withSignals, TABLE_START, '<!-- End of exit codes. -->', exitTable)
}

/**
 * What stands between two marks is printed, the rest is written by hand. The start is the last one before the end.
 * @param {string} text
 * @param {string} startMark
 * @param {string} endMark
 * @param {string} printed
 */
function between(text, startMark, endMark, printed) {
  const end = text.indexOf(endMark)
  const start = text.lastIndexOf(startMark, end)
  if (start < 0 || end < 0) throw new Error(`a page has no ${startMark} ... ${endMark}`)
  return `${text.slice(0, start)}${startMark}\n\n${printed}\n${text.slice(end)}`
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

function optionsPage() {
  const sections = OPTION_KEYS.map((key) => {
    const heading = HEADINGS[key]
    return `${heading === undefined ? '' : `\n## ${heading}\n\n${OPTION_COLUMNS}\n`}${optionRow(key)}`
  })
  return `${NOTE}

# Options

Each option is a flag of \`gneiss\`, an environment variable, and a key of \`gneiss.config.{ts,js,mjs,json}\`. The first that
names it wins: command line, environment, configuration file, \`PORT\`, \`HOST\`, \`WEB_CONCURRENCY\` and \`FORWARDED_ALLOW_IPS\`, default. A time
is a number of seconds, or \`500ms\`, \`30s\`, \`5m\`, \`1h\`; a size is bytes, or \`64k\`, \`16m\`, \`1g\`. An unknown name
is an error (in the environment a warning) that says which one is nearest. \`gneiss --print-config\` shows every value
and where it comes from.

A switch is turned on by its flag and off by \`--no-FLAG\`; in the environment it is \`on\` or \`off\`, in the file \`true\` or
\`false\`. A list is a flag that is repeated, a text separated by commas in the environment, an array in the file. Keys of the
file may be written in snake_case and kebab-case, too. \`"$schema": "./node_modules/gneiss/schema.json"\` in a JSON file gives
an editor what is on this page; \`defineConfig\` does it in JavaScript and TypeScript.

\`serve\` takes the same keys, but those that only make sense for a program (marked P).
${sections.join('\n')}
`
}

/** @param {import('../dist/options.js').OptionKey} key */
function optionRow(key) {
  const entry = entryOf(key)
  const flags = entry.positional === true ? (entry.placeholder ?? key) : `--${flagOf(key)}`
  const facts = [rangeOf(entry), entry.unit, entry.repeatable === true ? 'a list' : undefined].filter(Boolean)
  const short = entry.short === undefined ? '' : `\`-${entry.short}\`, `
  const columns = [
    `\`${key}\`${entry.isForProgram === true ? ' (P)' : ''}`,
    `${short}\`${flags}\``,
    `\`${environmentNameOf(key)}\``,
    entry.derived ?? formatValue(entry, entry.default),
    facts.join('; '),
    entry.doc,
  ]
  return `| ${columns.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
}
