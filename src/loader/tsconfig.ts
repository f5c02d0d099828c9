/**
 * What loading needs of `tsconfig.json`: path aliases, and the compiler options that change what the
 * program does. Read on Node's hook thread as well, so this file imports nothing of ours.
 */
import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join, resolve } from 'node:path'

/** Compiler options that change what the program does. */
export interface CompilerOptions {
  readonly experimentalDecorators?: boolean
  readonly emitDecoratorMetadata?: boolean
  readonly useDefineForClassFields?: boolean
  readonly verbatimModuleSyntax?: boolean
  readonly jsx?: string
  readonly jsxFactory?: string
  readonly jsxFragmentFactory?: string
  readonly jsxImportSource?: string
}

/** What a `tsconfig.json` says, with everything it extends. */
export interface Project {
  /** Absent when no `tsconfig.json` was found. */
  readonly file: string | undefined
  readonly options: CompilerOptions
  /** Files an alias may mean, without extension and in order; empty when it is no alias. */
  aliases(specifier: string): string[]
}

/** Content of one file, with paths made absolute. */
interface Raw {
  options: CompilerOptions & { baseUrl?: string; paths?: Record<string, string[]> }
  /** Directory that `paths` are relative to without `baseUrl`. */
  pathsBase?: string
}

const NO_PROJECT: Project = { file: undefined, options: {}, aliases: () => [] }

const projects = new Map<string, Project>()

/**
 * The project of a source file: that of the nearest `tsconfig.json` above it.
 * @throws an `Error` that names the file when one of them cannot be read.
 */
export function projectOf(file: string): Project {
  const directory = dirname(file)
  const known = projects.get(directory)
  if (known !== undefined) return known
  const candidate = join(directory, 'tsconfig.json')
  const project = isFile(candidate)
    ? readProject(candidate)
    : dirname(directory) === directory
      ? NO_PROJECT
      : projectOf(directory)
  projects.set(directory, project)
  return project
}

function readProject(file: string): Project {
  const { options, pathsBase } = readRaw(file, [])
  const { baseUrl, paths = {}, ...rest } = options
  const base = baseUrl ?? pathsBase ?? dirname(file)
  return {
    file,
    options: rest,
    aliases(specifier) {
      const found = Object.entries(paths)
        .map(([pattern, targets]) => ({ pattern, targets, rest: matchPattern(pattern, specifier) }))
        .filter(({ rest: matched }) => matched !== undefined)
        .toSorted((left, right) => prefixLength(right.pattern) - prefixLength(left.pattern))[0]
      if (found !== undefined)
        return found.targets.map((target) =>
          resolve(
            base,
            target.replace('*', () => found.rest as string),
          ),
        )
      return baseUrl === undefined ? [] : [resolve(baseUrl, specifier)]
    },
  }
}

/** `seen` ends a circle of `extends`. */
function readRaw(file: string, seen: readonly string[]): Raw {
  if (seen.includes(file)) throw new Error(`${file} extends itself`)
  const { extends: parents, compilerOptions = {} } = parseFile(file)
  const merged: Raw = { options: {} }
  for (const parent of typeof parents === 'string' ? [parents] : (parents ?? [])) {
    const raw = readRaw(resolveParent(parent, file), [...seen, file])
    merged.options = { ...merged.options, ...raw.options }
    if (raw.pathsBase !== undefined) merged.pathsBase = raw.pathsBase
  }
  merged.options = { ...merged.options, ...compilerOptions }
  if (compilerOptions.baseUrl !== undefined) merged.options.baseUrl = resolve(dirname(file), compilerOptions.baseUrl)
  if (compilerOptions.paths !== undefined) merged.pathsBase = dirname(file)
  return merged
}

function resolveParent(parent: string, file: string): string {
  if (parent.startsWith('.') || isAbsolute(parent)) {
    const path = resolve(dirname(file), parent)
    return isFile(path) ? path : `${path}.json`
  }
  const { resolve: resolvePackage } = createRequire(file)
  for (const name of [parent, `${parent}.json`, `${parent}/tsconfig.json`]) {
    try {
      return resolvePackage(name)
    } catch {
      continue
    }
  }
  throw new Error(`${file} extends ${parent}, which cannot be found`)
}

function parseFile(file: string): { extends?: string | string[]; compilerOptions?: Raw['options'] } {
  try {
    return JSON.parse(stripComments(readFileSync(file, 'utf8'))) as {
      extends?: string
      compilerOptions?: Raw['options']
    }
  } catch (cause) {
    throw new Error(`${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

/** Comments and trailing commas are allowed there; strings stay as they are. */
function stripComments(text: string): string {
  const withoutComments = text.replace(
    /("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (_, string?: string) => string ?? ' ',
  )
  return withoutComments
    .replace(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, (_, string?: string) => string ?? '')
    .replace(/^\uFEFF/, '')
}

/** What the star stands for; the empty text when the pattern has none and is the specifier itself. */
function matchPattern(pattern: string, specifier: string): string | undefined {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === specifier ? '' : undefined
  const suffix = pattern.slice(star + 1)
  const fits =
    specifier.length >= pattern.length - 1 && specifier.startsWith(pattern.slice(0, star)) && specifier.endsWith(suffix)
  return fits ? specifier.slice(star, specifier.length - suffix.length) : undefined
}

function prefixLength(pattern: string): number {
  const star = pattern.indexOf('*')
  return star < 0 ? Number.MAX_SAFE_INTEGER : star
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
