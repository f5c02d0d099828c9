/** Finds the application among the exports of a module. */
import { describeValue } from '../detect.ts'
import { GneissError } from '../errors.ts'
import { suggestionOf } from '../suggest.ts'

/** A module as `import()` gives it. */
export type Namespace = Readonly<Record<string, unknown>>

/** A value that was found, and the name it was found under. */
export interface Found {
  readonly value: unknown
  readonly name: string
}

/** Names that are tried when none was given; a bare `fetch` export is the last. */
export const DEFAULT_NAMES = ['default', 'app', 'handler', 'fetch'] as const

/**
 * The first of the names that is accepted. What CommonJS and compiled modules wrap in `default`
 * is looked into for each name, so that a `module.exports` that is no application does not hide one.
 * @throws `ERR_APP` that lists the exports.
 */
export function chooseDefault(
  namespace: Namespace,
  accept: (found: Found) => boolean,
  file: string,
  names: readonly string[] = DEFAULT_NAMES,
): Found {
  const scopes = scopesOf(namespace)
  for (const name of names) {
    for (const scope of scopes) {
      if (!has(scope, name)) continue
      const found = { value: read(scope, name), name }
      if (accept(found)) return found
    }
  }
  throw new GneissError('ERR_APP', `${file} exports no application. ${describeExports(scopes)}`)
}

/**
 * The export a path of names leads to. A method is bound to what it was found on.
 * @throws `ERR_APP` that lists the exports, with the nearest name.
 */
export function chooseNamed(namespace: Namespace, path: readonly string[], file: string): Found {
  const [first, ...rest] = path as [string, ...string[]]
  const scopes = scopesOf(namespace)
  const scope = scopes.find((candidate) => has(candidate, first))
  if (scope === undefined) {
    const suggestion = suggestionOf(first, scopes.flatMap(namesOf))
    throw new GneissError('ERR_APP', `${file} has no export ${first}${suggestion || '.'} ${describeExports(scopes)}`)
  }
  let value = read(scope, first)
  let name = first
  for (const key of rest) {
    if (value === null || value === undefined || !has(Object(value) as object, key)) {
      const known = value === null || value === undefined ? '' : suggestionOf(key, namesOf(Object(value) as object))
      throw new GneissError(
        'ERR_APP',
        `${name} of ${file} has no property ${key}: it is ${describeValue(value)}${known}`,
      )
    }
    value = bindMethod(read(Object(value) as object, key), value)
    name = `${name}.${key}`
  }
  return { value, name }
}

/** The namespace, then what it wraps in `default`, once for CommonJS and once more for compiled modules. */
function scopesOf(namespace: Namespace): object[] {
  const scopes: object[] = [namespace]
  let inner: unknown = namespace['default']
  while (scopes.length < 3 && ((typeof inner === 'object' && inner !== null) || typeof inner === 'function')) {
    scopes.push(inner)
    inner = has(inner, 'default') ? read(inner, 'default') : undefined
  }
  return scopes
}

/** Own or inherited, but nothing that every object or function has. */
function has(scope: object, name: string): boolean {
  return name in scope && !(name in Function.prototype && !Object.hasOwn(scope, name))
}

function read(scope: object, name: string): unknown {
  return (scope as Record<string, unknown>)[name]
}

/** Only a plain method needs its object; a function with properties of its own would lose them. */
function bindMethod(value: unknown, owner: unknown): unknown {
  if (typeof value !== 'function') return value
  const isPlain = Reflect.ownKeys(value).every((key) => PLAIN_KEYS.has(key))
  return isPlain && !Function.prototype.toString.call(value).startsWith('class')
    ? (value.bind(owner) as unknown)
    : value
}

const PLAIN_KEYS: ReadonlySet<string | symbol> = new Set(['length', 'name', 'prototype', 'arguments', 'caller'])

function namesOf(scope: object): string[] {
  return Object.keys(scope).filter((name) => name !== '__esModule' && name !== 'module.exports')
}

function describeExports(scopes: readonly object[]): string {
  const lines = new Map<string, string>()
  for (const scope of scopes) {
    if (typeof scope === 'function') continue
    for (const name of namesOf(scope)) {
      const isWrapper =
        name === 'default' && scopes.includes(read(scope, name) as object) && typeof read(scope, name) === 'object'
      if (!isWrapper && !lines.has(name)) lines.set(name, `${name} (${describeValue(read(scope, name))})`)
    }
  }
  if (lines.size === 0) return 'It exports nothing.'
  return `It exports ${[...lines.values()].join(', ')}.`
}
