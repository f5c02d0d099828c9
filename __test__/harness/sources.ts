/** The checkout as text: what the tidy rules read. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

import { ROOT } from './cli.ts'

/** One file of the checkout. */
export interface Source {
  /** Path from the root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
}

/** One `import` or `export from`. */
export interface Import {
  /** As written, or the path from the root for a relative one. */
  readonly target: string
  /** Names that exist at run time; `*` for a namespace, empty for a side effect. */
  readonly names: readonly string[]
  /** Nothing of it exists at run time. */
  readonly isType: boolean
}

const BINARY = new Set(['.ico', '.png', '.wasm'])

/** What git tracks, and what it would track: a rule must bite before the commit. */
export const sources: readonly Source[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  { cwd: ROOT, encoding: 'utf8' },
)
  .split('\0')
  .filter((path) => path !== '' && !BINARY.has(posix.extname(path)) && existsSync(join(ROOT, path)))
  .map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8')
    return { path, text, lines: text.split('\n') }
  })

/** Files below a folder with one of the endings. Throws if there are none: a rule over nothing is no rule. */
export function sourcesIn(folder: string, ...endings: readonly string[]): Source[] {
  const found = sources.filter(({ path }) => path.startsWith(`${folder}/`) && endings.some((end) => path.endsWith(end)))
  if (found.length === 0) throw new Error(`no ${endings.join(' or ')} below ${folder}`)
  return found
}

/** All static and dynamic imports of a TypeScript file. */
export function importsOf({ path, text }: Source): Import[] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s+)?(\*(?:\s+as\s+\w+)?|\{[^}]*\}|\w+)\s+from\s+'([^']+)'|^import\s+'([^']+)'/gm,
  )
  const dynamic = text.matchAll(/\bimport\('([^']+)'\)/g)
  return [
    ...Array.from(statements, ([, type, clause = '', target, bare = '']) => {
      const names = namesOf(clause)
      const isType = type !== undefined || (target !== undefined && names.length === 0)
      return { target: resolve(path, target ?? bare), names, isType }
    }),
    ...Array.from(dynamic, ([, target = '']) => ({ target: resolve(path, target), names: ['*'], isType: false })),
  ]
}

/** Code without comments and the contents of strings: what is left is what runs. */
export function codeOf(text: string): string {
  return text.replaceAll(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g,
    (piece) => (piece.startsWith('/') ? '' : "''"),
  )
}

/** Line numbers (from 1) on which `pattern` matches. */
export function linesWith({ lines }: Source, pattern: RegExp): number[] {
  return lines.flatMap((line, index) => (pattern.test(line) ? [index + 1] : []))
}

function namesOf(clause: string): string[] {
  const inner = clause.includes('{') ? clause.slice(clause.indexOf('{') + 1, clause.lastIndexOf('}')) : clause
  return inner
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith('type '))
    .map((name) => (name.startsWith('*') ? '*' : (name.split(' as ')[0] as string)))
}

function resolve(from: string, target: string): string {
  return target.startsWith('.') ? posix.join(posix.dirname(from), target) : target
}
