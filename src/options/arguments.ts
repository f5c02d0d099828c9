/** The command line as a layer. */
import { GneissError } from '../errors.ts'
import { OPTION_KEYS, entryOf, flagOf } from '../options.ts'
import { suggestionOf } from '../suggest.ts'
import { gunicornAdvice } from './gunicorn.ts'

import type { OptionKey } from '../options.ts'
import type { OptionEntry } from './entry.ts'
import type { Layer, Setting } from './resolve.ts'

/** Shells that `--completion` writes a script for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** One of them. */
export type Shell = (typeof SHELLS)[number]

/** What a command line asks for. */
export interface Arguments extends Layer {
  /** `--help`, `--version` or `--completion` was given: nothing else counts then. */
  readonly request: 'help' | 'version' | { readonly completion: Shell } | undefined
}

/** A flag as written, and what it stands for. */
interface Flag {
  readonly key: OptionKey
  readonly entry: OptionEntry
  /** As the person wrote it, for messages. */
  readonly written: string
  readonly isNegated: boolean
  /** What followed `=`, or the letter of a short flag. */
  readonly attached: string | undefined
}

/**
 * Reads the arguments behind the program's name: `--flag value`, `--flag=value`, `--no-flag`,
 * `-f value`, `-fvalue`, `--` before an application whose name begins with a dash, one application.
 * @throws `ERR_OPTION` for an unknown flag (with the nearest name), a missing or surplus value.
 */
export function parseArguments(argv: readonly string[]): Arguments {
  const settings = new Map<OptionKey, Setting>()
  const warnings: string[] = []
  let isFlagAllowed = true
  for (let index = 0; index < argv.length; index++) {
    const text = argv[index] as string
    if (!isFlagAllowed || text === '-' || !text.startsWith('-')) {
      takeApplication(settings, text)
    } else if (text === '--') {
      isFlagAllowed = false
    } else if (text === '--help' || text === '-h') {
      return { settings, warnings, request: 'help' }
    } else if (text === '--version' || text === '-v') {
      return { settings, warnings, request: 'version' }
    } else if (text === COMPLETION || text.startsWith(`${COMPLETION}=`)) {
      const shell = text === COMPLETION ? argv[index + 1] : text.slice(COMPLETION.length + 1)
      return { settings, warnings, request: { completion: readShell(shell) } }
    } else {
      const flag = parseFlag(text, warnings)
      if (flag === undefined) continue
      const isValueNext = flag.attached === undefined && takesValue(flag)
      takeFlag(settings, flag, isValueNext ? valueAfter(flag, argv[++index]) : flag.attached)
    }
  }
  return { settings, warnings, request: undefined }
}

const COMPLETION = '--completion'

function readShell(text: string | undefined): Shell {
  const shell = SHELLS.find((name) => name === text)
  if (shell !== undefined) return shell
  const fault = text === undefined ? 'needs a value' : `is ${JSON.stringify(text)}`
  throw new GneissError('ERR_OPTION', `${COMPLETION} ${fault}; it must be one of ${SHELLS.join('|')}`)
}

/** Undefined for a flag that is accepted without effect. */
function parseFlag(text: string, warnings: string[]): Flag | undefined {
  const flag = text.startsWith('--') ? parseLong(text) : parseShort(text)
  if (flag !== undefined) return flag
  const equals = text.indexOf('=')
  const written = equals < 0 ? text : text.slice(0, equals)
  const advice = text.startsWith('--') ? gunicornAdvice(written.slice(2)) : gunicornAdvice(text.slice(1, 2))
  if (advice === undefined) {
    throw new GneissError('ERR_OPTION', `unknown option ${written}${suggestionOf(written, everyFlag())}`)
  }
  if (advice.isRefused) throw new GneissError('ERR_OPTION', `${written} is not an option of gneiss: ${advice.text}`)
  warnings.push(`${written} has no effect: ${advice.text}`)
  return undefined
}

function parseLong(text: string): Flag | undefined {
  const equals = text.indexOf('=')
  const written = equals < 0 ? text : text.slice(0, equals)
  const attached = equals < 0 ? undefined : text.slice(equals + 1)
  const name = written.slice(2)
  for (const key of OPTION_KEYS) {
    const entry = entryOf(key)
    if (entry.positional === true) continue
    const flag = flagOf(key)
    if (name === flag) return { key, entry, written, attached, isNegated: false }
    if (entry.type === 'boolean' && name === `no-${flag}`) return { key, entry, written, attached, isNegated: true }
  }
  return undefined
}

function parseShort(text: string): Flag | undefined {
  const written = text.slice(0, 2)
  const key = OPTION_KEYS.find((name) => entryOf(name).short === written[1])
  if (key === undefined) return undefined
  const rest = text.slice(2)
  const attached = rest === '' ? undefined : rest.startsWith('=') ? rest.slice(1) : rest
  return { key, entry: entryOf(key), written, attached, isNegated: false }
}

function takesValue({ entry }: Flag): boolean {
  return entry.type !== 'boolean' && entry.implied === undefined
}

/** The next argument, unless it is a flag: a forgotten value must not swallow it. A negative number is a value. */
function valueAfter(flag: Flag, next: string | undefined): string {
  if (next === undefined || (/^-[^\d]/.test(next) && next !== '-')) {
    throw new GneissError('ERR_OPTION', `${flag.written} needs a value`)
  }
  return next
}

function takeFlag(settings: Map<OptionKey, Setting>, flag: Flag, text: string | undefined): void {
  const origin = { kind: 'flag', name: flag.written } as const
  const { key, entry } = flag
  if (flag.isNegated && text !== undefined) throw new GneissError('ERR_OPTION', `${flag.written} takes no value`)
  if (entry.repeatable === true) {
    const before = (settings.get(key)?.value ?? []) as string[]
    settings.set(key, { value: [...before, text], origin })
    return
  }
  settings.set(key, { value: text ?? entry.implied ?? !flag.isNegated, origin })
}

function takeApplication(settings: Map<OptionKey, Setting>, text: string): void {
  const before = settings.get('app')
  if (before !== undefined) {
    throw new GneissError(
      'ERR_OPTION',
      `one application is served at a time, not both ${String(before.value)} and ${text}`,
    )
  }
  settings.set('app', { value: text, origin: { kind: 'flag', name: 'APP' } })
}

function everyFlag(): string[] {
  return [
    '--help',
    '--version',
    COMPLETION,
    ...OPTION_KEYS.filter((key) => entryOf(key).positional !== true).flatMap((key) => {
      const flag = flagOf(key)
      return entryOf(key).type === 'boolean' ? [`--${flag}`, `--no-${flag}`] : [`--${flag}`]
    }),
  ]
}
