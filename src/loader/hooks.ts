/**
 * The hooks that let Node import TypeScript: resolution as TypeScript does it, and the transform where
 * Node has none. `registerHooks` calls them on the main thread; where that does not exist, Node loads
 * this file on its hook thread (`module.register`) and finds `initialize`, `resolve` and `load`.
 *
 * Each asks Node, and with it hooks that were registered before, first: a loader that the user passed
 * with `--import` keeps its say.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, extname, join, resolve as resolvePath } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

import { needsTransform, preloadOxc, transformFile } from './transform.ts'
import { projectOf } from './tsconfig.ts'

import type {
  LoadFnOutput,
  LoadHook,
  LoadHookContext,
  LoadHookSync,
  ResolveFnOutput,
  ResolveHook,
  ResolveHookContext,
  ResolveHookSync,
} from 'node:module'

/** What the hooks are told when they are registered. */
export interface HookData {
  /** Where `oxc-transform` is; undefined when it is not installed. */
  readonly oxcPath: string | undefined
}

/** Files that were left to Node although they may need more than it does, because `oxc-transform` is missing. */
export const untransformed: string[] = []

let oxcPath: string | undefined

/** Called by Node on its hook thread. */
export async function initialize(data: HookData): Promise<void> {
  configure(data)
  if (data.oxcPath !== undefined) await preloadOxc(data.oxcPath)
}

/** Called before `registerHooks`. */
export function configure(data: HookData): void {
  oxcPath = data.oxcPath
}

/** The hook of `module.register`. */
export const resolve: ResolveHook = async (specifier, context, next) => {
  const alias = resolveAlias(specifier, context)
  if (alias !== undefined) return await next(alias, context)
  try {
    return await next(specifier, context)
  } catch (error) {
    return await next(resolveMissing(specifier, context, error), context)
  }
}

/** The hook of `module.register`. */
export const load: LoadHook = async (url, context, next) => {
  if (!isTypeScript(url)) return await next(url, context)
  let result: LoadFnOutput
  try {
    result = await next(url, context)
  } catch (error) {
    return transformRefused(url, error)
  }
  return transformLoaded(url, result)
}

/** The hook of `registerHooks`. */
export const resolveSync: ResolveHookSync = (specifier, context, next): ResolveFnOutput => {
  const alias = resolveAlias(specifier, context)
  if (alias !== undefined) return next(alias, context)
  try {
    return next(specifier, context)
  } catch (error) {
    return next(resolveMissing(specifier, context, error), context)
  }
}

/** The hook of `registerHooks`. */
export const loadSync: LoadHookSync = (url: string, context: LoadHookContext, next): LoadFnOutput => {
  if (!isTypeScript(url)) return next(url, context)
  let result: LoadFnOutput
  try {
    result = next(url, context)
  } catch (error) {
    return transformRefused(url, error)
  }
  return transformLoaded(url, result)
}

const TYPESCRIPT_EXTENSIONS: readonly string[] = ['.ts', '.mts', '.cts', '.tsx']

/** What Node says about TypeScript that it does not know, or cannot strip. */
const REFUSALS: readonly string[] = [
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_INVALID_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
]

/** What Node says about a file that is not there under this name. */
const MISSING: readonly string[] = ['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT', 'MODULE_NOT_FOUND']

function transformRefused(url: string, error: unknown): LoadFnOutput {
  if (oxcPath === undefined || !REFUSALS.includes(codeOf(error))) throw error
  return transformed(url, oxcPath)
}

/** Node has loaded it: as source that it will strip itself, as raw text, or as what another loader made of it. */
function transformLoaded(url: string, result: LoadFnOutput): LoadFnOutput {
  const file = fileURLToPath(url)
  const text = readFileSync(file, 'utf8')
  const isForNode = result.format?.endsWith('-typescript') === true
  const isUntouched = result.source === undefined || result.source === null || textOf(result.source) === text
  // A file without types to strip is untouched by Node as well, and needs nothing.
  const isRaw = isUntouched && (extname(file) === '.tsx' || !hasStripping())
  if (!isRaw && !(isForNode && needsTransform(text))) return result
  if (oxcPath !== undefined) return transformed(url, oxcPath)
  untransformed.push(file)
  return result
}

function transformed(url: string, path: string): LoadFnOutput {
  // Positions in stack traces are those of the source only through its map.
  process.setSourceMapsEnabled(true)
  return { ...transformFile(fileURLToPath(url), path), shortCircuit: true }
}

/** An alias of `tsconfig.json`; aliases come before packages, as TypeScript resolves them. */
function resolveAlias(specifier: string, { parentURL }: ResolveHookContext): string | undefined {
  if (isPath(specifier) || specifier.startsWith('node:') || !isTypeScript(parentURL)) return undefined
  for (const path of projectOf(fileURLToPath(parentURL as string)).aliases(specifier)) {
    const file = findSource(path)
    if (file !== undefined) return pathToFileURL(file).href
  }
  return undefined
}

/** What a TypeScript file means by a name that Node does not find: `./a.js` is `a.ts`, `./a` is any of them. */
function resolveMissing(specifier: string, { parentURL }: ResolveHookContext, error: unknown): string {
  if (!MISSING.includes(codeOf(error)) || !isPath(specifier) || !isTypeScript(parentURL)) throw error
  const file = findSource(
    specifier.startsWith('file:')
      ? fileURLToPath(specifier)
      : resolvePath(dirname(fileURLToPath(parentURL as string)), specifier),
  )
  if (file === undefined) throw error
  return pathToFileURL(file).href
}

/** The extension a compiler would have written, and the ones it may have come from. */
const SOURCES_OF: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
  '.jsx': ['.tsx'],
}

const IMPLIED_EXTENSIONS: readonly string[] = ['.ts', '.tsx', '.mts', '.js', '.mjs', '.cts', '.cjs', '.json']

function findSource(path: string): string | undefined {
  const extension = extname(path)
  const stem = path.slice(0, path.length - extension.length)
  const candidates = [
    path,
    ...(SOURCES_OF[extension] ?? []).map((source) => stem + source),
    ...IMPLIED_EXTENSIONS.map((source) => path + source),
    ...IMPLIED_EXTENSIONS.map((source) => join(path, `index${source}`)),
  ]
  return candidates.find((candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile() === true)
}

function isTypeScript(url: string | undefined): boolean {
  if (url === undefined || !url.startsWith('file:')) return false
  const end = url.search(/[?#]/)
  return TYPESCRIPT_EXTENSIONS.includes(extname(end < 0 ? url : url.slice(0, end)))
}

function isPath(specifier: string): boolean {
  return specifier.startsWith('.') || specifier.startsWith('/') || specifier.startsWith('file:')
}

function hasStripping(): boolean {
  const features: { typescript?: unknown } = process.features
  return typeof features.typescript === 'string'
}

function textOf(source: NonNullable<LoadFnOutput['source']>): string {
  if (typeof source === 'string') return source
  return Buffer.from(source as Uint8Array).toString('utf8')
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code)
}
