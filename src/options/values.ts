/** Reads one value of an option, from text or from a configuration object, and says its range. */
import { isIP } from 'node:net'

import { formatAddress, parseAddress } from './address.ts'
import { availableCpus } from './cpus.ts'
import { SIZE_UNITS } from './entry.ts'
import { parseBodyRoute } from './routes.ts'

import type { OptionEntry } from './entry.ts'

/** Value of an option as it stands in the finished configuration. */
export type FinishedValue = boolean | number | string | string[] | null

/** A raw value and how it came. */
export interface RawValue {
  readonly value: unknown
  /** It came as text, from arguments or the environment: numbers and booleans are spelled out there. */
  readonly isText: boolean
}

/**
 * Reads a value, or refuses it.
 * @throws a plain `Error` whose message completes "it ...".
 */
export function readValue(entry: OptionEntry, raw: RawValue): FinishedValue {
  if (entry.repeatable !== true) return readScalar(entry, raw)
  const given = Array.isArray(raw.value) ? (raw.value as unknown[]) : [raw.value]
  // Gunicorn has such a list in one text, and no peer has a comma in it.
  const items = entry.form === 'peer' ? given.flatMap(splitPeers) : given
  if (items.length === 0 && entry.type === 'address') throw new Error('must name an address at least')
  return items.map((value) => readScalar(entry, { value, isText: raw.isText }) as string)
}

/** Range of an option in words: `100ms to 168h, or 0 (off)`. Undefined where anything goes. */
export function rangeOf(entry: OptionEntry): string | undefined {
  if (entry.values !== undefined) return entry.values.join('|')
  if (entry.range === undefined) return undefined
  const [low, high] = entry.range
  const zero = entry.zero === undefined ? '' : `, or 0 (${entry.zero})`
  const words = entry.words === undefined ? '' : `, or ${entry.words.join('|')}`
  return `${formatNumber(entry, low)} to ${formatNumber(entry, high)}${zero}${words}`
}

/** A finished value as a person would write it. */
export function formatValue(entry: OptionEntry, value: OptionEntry['default']): string {
  if (value === null || value === '' || (Array.isArray(value) && value.length === 0)) return 'none'
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value === 'number') return value === 0 && entry.zero !== undefined ? '0' : formatNumber(entry, value)
  return typeof value === 'string' ? value : value.join(',')
}

function readScalar(entry: OptionEntry, raw: RawValue): FinishedValue {
  switch (entry.type) {
    case 'boolean':
      return readBoolean(raw)
    case 'integer':
    case 'duration':
    case 'size':
      return readNumber(entry, raw)
    case 'enum':
      return readEnum(entry, raw)
    case 'address':
      return readAddress(readString(raw))
    case 'string':
      return entry.form === 'octal' ? readOctal(raw) : checkForm(entry, readString(raw))
  }
}

function readAddress(text: string): string {
  try {
    return formatAddress(parseAddress(text))
  } catch (cause) {
    throw new Error(`is no address: ${(cause as Error).message}`, { cause })
  }
}

function checkForm(entry: OptionEntry, text: string): string {
  switch (entry.form) {
    case 'assignment':
      if (text.indexOf('=') < 1) throw new Error('must be KEY=VALUE')
      break
    case 'class':
      if (text !== 'async' && !/^[^#]+#[^#.]+(?:\.[^#.]+)*$/.test(text))
        throw new Error('must be async, or FILE#EXPORT for a class of your own')
      break
    case 'field':
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(text) || text.trim() !== text)
        throw new Error('must be a field value without controls')
      break
    case 'octal':
      break
    case 'peer':
      if (!isPeer(text)) throw new Error('must be an IP address, a network such as 10.0.0.0/8, unix or *')
      break
    case 'prefix':
      if (text !== '' && !text.startsWith('/')) throw new Error('must begin with a slash')
      break
    case 'route':
      parseBodyRoute(text)
      break
    case 'target':
      if (!/^\/[\x21\x22\x24-\x7e]*$/.test(text))
        throw new Error('must be a path such as /health, without blanks and #')
      break
    case undefined:
      break
  }
  return text
}

function splitPeers(value: unknown): unknown[] {
  if (typeof value !== 'string') return [value]
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function isPeer(text: string): boolean {
  if (text === '*' || text === 'unix') return true
  const slash = text.indexOf('/')
  const family = isIP(slash < 0 ? text : text.slice(0, slash))
  if (family === 0 || text.includes('%')) return false
  return (
    slash < 0 || (/^\d{1,3}$/.test(text.slice(slash + 1)) && Number(text.slice(slash + 1)) <= (family === 4 ? 32 : 128))
  )
}

function readString({ value }: RawValue): string {
  if (typeof value !== 'string') throw new Error('must be a string')
  if (value.includes('\0')) throw new Error('must not hold a NUL')
  return value
}

/** A number means what it is, and text its octal digits, as a shell has them. */
function readOctal({ value }: RawValue): string {
  const digits = typeof value === 'number' ? value.toString(8) : typeof value === 'string' ? value : ''
  const match = /^(?:0o?)?([0-7]{1,3})$/.exec(digits)
  if (match === null) throw new Error('must be an octal number, 0 to 777')
  return (match[1] as string).padStart(3, '0')
}

function readBoolean({ value, isText }: RawValue): boolean {
  if (typeof value === 'boolean') return value
  if (isText && typeof value === 'string') {
    const word = value.toLowerCase()
    if (['1', 'true', 'yes', 'on'].includes(word)) return true
    if (['0', 'false', 'no', 'off'].includes(word)) return false
  }
  throw new Error(isText ? 'must be on or off' : 'must be true or false')
}

function readEnum(entry: OptionEntry, { value }: RawValue): string {
  // A flag or key that is an enumeration but reads like a switch may be used as one.
  const word = entry.implied !== undefined && typeof value === 'boolean' ? (value ? entry.implied : 'off') : value
  const values = entry.values ?? []
  if (typeof word !== 'string' || !values.includes(word)) throw new Error(`must be one of ${rangeOf(entry)}`)
  return word
}

function readNumber(entry: OptionEntry, raw: RawValue): number {
  const number = toNumber(entry, raw)
  if (number === undefined) throw new Error(`must be ${NUMBER_FORMS[entry.type] ?? 'a number'}, ${rangeOf(entry)}`)
  if (number === 0 && entry.zero !== undefined) return 0
  const [low, high] = entry.range ?? [0, Number.MAX_SAFE_INTEGER]
  if (number > high && entry.beyond !== undefined) throw new Error(`cannot be used: ${entry.beyond}`)
  if (number < low || number > high) throw new Error(`must be ${rangeOf(entry)}`)
  return number
}

const NUMBER_FORMS: Partial<Record<OptionEntry['type'], string>> = {
  duration: 'seconds, or a time such as 500ms, 30s, 5m or 1h',
  integer: 'an integer',
  size: 'bytes, or a size such as 64k or 16m',
}

const UNITS: Partial<Record<OptionEntry['type'], Readonly<Record<string, number>>>> = {
  duration: { ms: 0.001, s: 1, m: 60, h: 3600 },
  size: SIZE_UNITS,
}

/** The number a value means, in seconds or bytes; undefined when it is none. */
function toNumber(entry: OptionEntry, { value, isText }: RawValue): number | undefined {
  if (typeof value === 'number') return checkNumber(entry, value)
  if (typeof value !== 'string') return undefined
  if (entry.words?.includes(value) === true) return availableCpus()
  const match = /^(-?\d+(?:\.\d+)?)([a-z]*)$/.exec(value.trim().toLowerCase())
  if (match === null) return undefined
  const [, digits, unit] = match as unknown as [string, string, string]
  if (unit === '') return isText || entry.type !== 'integer' ? checkNumber(entry, Number(digits)) : undefined
  const factor = UNITS[entry.type]?.[unit]
  return factor === undefined ? undefined : checkNumber(entry, toPrecise(Number(digits) * factor))
}

/** Only times may be broken numbers. */
function checkNumber(entry: OptionEntry, number: number): number | undefined {
  if (!Number.isFinite(number)) return undefined
  return entry.type === 'duration' || Number.isInteger(number) ? number : undefined
}

/** Takes the dust off a product such as 300 x 0.001. */
function toPrecise(number: number): number {
  return Math.round(number * 1e6) / 1e6
}

function formatNumber(entry: OptionEntry, number: number): string {
  if (entry.type === 'duration') {
    if (number < 1) return `${Math.round(number * 1000)}ms`
    return number >= 3600 && number % 3600 === 0 ? `${number / 3600}h` : `${number}s`
  }
  if (entry.type === 'size') {
    for (const [factor, unit] of [
      [1024 ** 3, 'g'],
      [1024 ** 2, 'm'],
      [1024, 'k'],
    ] as const) {
      if (number % factor === 0) return `${number / factor}${unit}`
    }
  }
  return String(number)
}
