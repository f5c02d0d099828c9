/** The text of `--help`, printed from the table. */
import { HEADINGS, OPTION_KEYS, entryOf, environmentNameOf, flagOf } from '../options.ts'
import { formatValue, rangeOf } from './values.ts'

import type { OptionKey } from '../options.ts'
import type { OptionEntry } from './entry.ts'

const INTRODUCTION = `Usage: gneiss [options] APP

Serves an application. APP is file[:export[.path]], or file:factory() to call the export first;
the extension of the file may be left out. Without an export: default, app, handler, fetch.

Precedence, highest first: command line, GNEISS_* environment, configuration file, PORT, HOST and
WEB_CONCURRENCY, defaults. Keys of the configuration file are the flags in camelCase.
A time is in seconds, or 500ms, 30s, 5m, 1h. A size is in bytes, or 64k, 16m, 1g.
`

const ENDING = `
  -h, --help              Print this help.
  -v, --version           Print the version.
      --completion SHELL  Print what makes bash, zsh or fish complete this command.

Exit codes: 0 stopped cleanly, 1 crashed, 2 usage or configuration, 3 the application failed to start,
4 it failed to load, 5 an address could not be bound, 128+n a second signal n cut open requests.
`

/** One line an option: flags, what it does, then environment name, default and range in brackets. */
export function formatHelp(): string {
  const rows = OPTION_KEYS.map((key) => `${HEADINGS[key] === undefined ? '' : `\n${HEADINGS[key]}\n`}${formatRow(key)}`)
  return `${INTRODUCTION}${rows.join('')}${ENDING}`
}

function formatRow(key: OptionKey): string {
  const entry = entryOf(key)
  return `  ${namesOf(key, entry).padEnd(36)}  ${entry.doc} [${factsOf(key, entry).join('; ')}]\n`
}

function namesOf(key: OptionKey, entry: OptionEntry): string {
  if (entry.positional === true) return entry.placeholder ?? key
  const short = entry.short === undefined ? '    ' : `-${entry.short}, `
  const flag = flagOf(key)
  // Of a switch that is on by default only its negation is of use.
  if (entry.type === 'boolean') return `${short}--${entry.default === true ? 'no-' : ''}${flag}`
  const placeholder = entry.placeholder ?? PLACEHOLDERS[entry.type] ?? 'TEXT'
  return `${short}--${flag}${entry.implied === undefined ? ` ${placeholder}` : `[=${placeholder}]`}`
}

const PLACEHOLDERS: Partial<Record<OptionEntry['type'], string>> = {
  duration: 'TIME',
  enum: 'WORD',
  integer: 'N',
  size: 'SIZE',
}

function factsOf(key: OptionKey, entry: OptionEntry): string[] {
  const range = rangeOf(entry)
  return [
    environmentNameOf(key),
    `default ${entry.derived ?? formatValue(entry, entry.default)}`,
    ...(range === undefined ? [] : [range]),
    ...(entry.unit === undefined ? [] : [entry.unit]),
    ...(entry.repeatable === true ? ['may be repeated'] : []),
  ]
}
