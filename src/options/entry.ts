/** What can be said about an option. A leaf. */

/** One row of the table. */
export interface OptionEntry {
  /** How a value is read: durations become seconds, sizes bytes, addresses a canonical string. */
  readonly type: 'address' | 'boolean' | 'duration' | 'enum' | 'integer' | 'size' | 'string'
  /** Value of the command line when no layer sets it; null is unset. */
  readonly default: boolean | number | string | readonly string[] | null
  /** Value of `serve` when it differs from that of the command line. */
  readonly libraryDefault?: boolean
  /** What the default is, where it depends on the machine. */
  readonly derived?: string
  /** Name after `--`, and after `GNEISS_` in upper snake case; the key in kebab case unless named. */
  readonly flag?: string
  /** One-letter flag. */
  readonly short?: string
  /** It is the argument without a flag. */
  readonly positional?: boolean
  /** It is a list: the flag may be repeated, the environment separates with commas. */
  readonly repeatable?: boolean
  /** Smallest and largest number, in seconds or bytes where the type says so. */
  readonly range?: readonly [number, number]
  /** What 0 means, where 0 is allowed beside the range. */
  readonly zero?: string
  /** Said when a value is above the range. */
  readonly beyond?: string
  /** Words allowed beside numbers. */
  readonly words?: readonly string[]
  /** Values of an enumeration. */
  readonly values?: readonly string[]
  /** Value meant by the flag alone; another one follows `=`. */
  readonly implied?: string
  /** What a text must look like. */
  readonly form?: 'assignment' | 'class' | 'field' | 'octal' | 'peer' | 'prefix' | 'route' | 'target'
  /** Unit of a number that is neither duration nor size. */
  readonly unit?: string
  /** What stands for the value in the help. */
  readonly placeholder?: string
  /** It means nothing to `serve`, which runs inside somebody else's process. */
  readonly isForProgram?: boolean
  /** One sentence. */
  readonly doc: string
}

/** A time: a number of seconds, or text with a unit. At least 100 ms, or 0 where that is allowed. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h'}`

/** A size: a number of bytes, or text with a binary unit (`64k` is 65,536). */
export type Size = number | `${number}${'k' | 'm' | 'g'}`

/** Bytes of each binary unit, as a size names it. */
export const SIZE_UNITS: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** What a person writes for a row. */
export type InputOf<Entry> = Entry extends { repeatable: true } ? string | readonly string[] : InputScalarOf<Entry>

type InputScalarOf<Entry> = Entry extends { type: 'duration' }
  ? Duration
  : Entry extends { type: 'size' }
    ? Size
    : ScalarOf<Entry> | WordOf<Entry>

/** What a row's value is in the finished configuration. */
export type FinishedOf<Entry> = Entry extends { repeatable: true }
  ? string[]
  : Entry extends { type: 'integer' }
    ? number
    : Entry extends { default: null }
      ? ScalarOf<Entry> | null
      : ScalarOf<Entry>

type ScalarOf<Entry> = Entry extends { type: 'boolean' }
  ? boolean
  : Entry extends { type: 'duration' | 'integer' | 'size' }
    ? number
    : Entry extends { values: readonly (infer Value)[] }
      ? Value
      : string

type WordOf<Entry> = Entry extends { words: readonly (infer Word)[] } ? Word : never

/** `gracefulTimeout` becomes `graceful-timeout`. Without an expression, which every start would have to compile. */
export function kebabOf(key: string): string {
  let kebab = ''
  for (const letter of key) {
    const small = letter.toLowerCase()
    kebab += letter === small ? letter : `-${small}`
  }
  return kebab
}
