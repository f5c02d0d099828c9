/** The flags as a shell has to know them: names, what their values may be, what excludes what. */
import { OPTION_KEYS, entryOf, flagOf } from '../../options.ts'
import { SHELLS } from '../arguments.ts'

import type { OptionKey } from '../../options.ts'
import type { OptionEntry } from '../entry.ts'

/** What may stand where a value is expected; `free` is known to nobody but the person. */
export type ValueKind = 'address' | 'directory' | 'file' | 'free' | 'words'

/** Value of a flag. */
export interface FlagValue {
  readonly kind: ValueKind
  /** All values, for the kind `words`. */
  readonly words: readonly string[]
  /** It can only follow `=`, because the flag alone has a meaning. */
  readonly isAttached: boolean
  /** What the help calls it. */
  readonly placeholder: string
}

/** A flag as a shell knows it. */
export interface CompletionFlag {
  /** Name behind `--`. */
  readonly name: string
  /** Letter behind `-`. */
  readonly short: string | undefined
  /** One sentence. */
  readonly doc: string
  /** Undefined for a switch. */
  readonly value: FlagValue | undefined
  /** Names of flags that make no sense beside it, its own among them unless it may be repeated. */
  readonly excludes: readonly string[]
}

/** Endings of the files that may hold an application. */
export const APPLICATION_EXTENSIONS = ['ts', 'mts', 'cts', 'tsx', 'js', 'mjs', 'cjs'] as const

/** Addresses that are offered to begin with. */
export const ADDRESSES = ['127.0.0.1:8000', '0.0.0.0:8000', 'unix:'] as const

/** Every flag of the command line, in the order of the help. */
export function completionFlags(): CompletionFlag[] {
  const shells = { kind: 'words', words: SHELLS, isAttached: false, placeholder: 'SHELL' } as const
  return [
    ...OPTION_KEYS.filter((key) => entryOf(key).positional !== true).flatMap(flagsOf),
    { name: 'help', short: 'h', doc: 'Print this help.', value: undefined, excludes: ['help'] },
    { name: 'version', short: 'v', doc: 'Print the version.', value: undefined, excludes: ['version'] },
    {
      name: 'completion',
      short: undefined,
      doc: 'Print a completion script.',
      value: shells,
      excludes: ['completion'],
    },
  ]
}

function flagsOf(key: OptionKey): CompletionFlag[] {
  const entry = entryOf(key)
  const { doc, short } = entry
  const name = flagOf(key)
  if (entry.type !== 'boolean') {
    return [{ name, short, doc, value: valueOf(entry), excludes: entry.repeatable === true ? [] : [name] }]
  }
  const excludes = [name, `no-${name}`]
  return [
    { name, short, doc, value: undefined, excludes },
    { name: `no-${name}`, short: undefined, doc: `Not: ${doc}`, value: undefined, excludes },
  ]
}

function valueOf(entry: OptionEntry): FlagValue {
  const placeholder = entry.placeholder ?? (entry.type === 'enum' ? 'WORD' : 'VALUE')
  const words = [...(entry.values ?? []), ...(entry.words ?? [])]
  const kind = words.length > 0 ? 'words' : (KINDS[placeholder] ?? 'free')
  return { kind, words, isAttached: entry.implied !== undefined, placeholder }
}

const KINDS: Readonly<Record<string, ValueKind>> = {
  ADDRESS: 'address',
  DIR: 'directory',
  FILE: 'file',
  MODULE: 'file',
}
