/** Imports one module of the user: an application, a configuration file, a preload. */
import { createRequire } from 'node:module'
import { isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'

import type { Namespace } from './exports.ts'

/**
 * Imports a file, with TypeScript switched on where it is one. Throws what the module throws;
 * `explainImport` says what to do about it.
 */
export async function importFile(file: string): Promise<Namespace> {
  // Most applications of a fast start are JavaScript: what TypeScript needs is loaded for it alone.
  if (TYPESCRIPT.test(file)) (await import('./typescript.ts')).enableTypeScript(file)
  return (await import(pathToFileURL(file).href)) as Namespace
}

const TYPESCRIPT = /\.[cm]?tsx?$/

/** Imports what `--import` names: a path relative to a directory, or a package as seen from there. */
export async function importPreload(specifier: string, directory: string): Promise<void> {
  if (specifier.startsWith('.') || isAbsolute(specifier)) {
    await importFile(createRequire(join(directory, 'noop.js')).resolve(specifier))
  } else if (/^(?:file|node|data):/.test(specifier)) {
    await import(specifier)
  } else {
    await import(resolvePackage(specifier, directory))
  }
}

/**
 * Why an import failed: the first line of what was thrown, its place in `file` where Node does not
 * tell, and what to do where TypeScript is the matter.
 */
export async function explainImport(thrown: unknown, file?: string): Promise<string> {
  const { explainTypeScript } = await import('./typescript.ts')
  const advice = explainTypeScript(thrown)
  const place =
    file !== undefined && !TYPESCRIPT.test(file) && isWithoutPlace(thrown) ? await placeOfSyntaxError(file) : ''
  return `${firstLineOf(thrown)}${place}${advice === undefined ? '' : `; ${advice}`}`
}

/** First line of what was thrown, with its name; anything may be thrown. */
export function firstLineOf(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
    return text.split('\n', 1)[0] as string
  } catch {
    return 'a value that cannot be shown'
  }
}

/** The syntax errors of ES modules name neither file nor line; only the fatal handler of Node knows them. */
function isWithoutPlace(thrown: unknown): boolean {
  return thrown instanceof SyntaxError && thrown.stack?.startsWith('SyntaxError') === true
}

/** The line, as `node --check` finds it; nothing when the fault lies in another file. */
async function placeOfSyntaxError(file: string): Promise<string> {
  const { spawnSync } = await import('node:child_process')
  const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 5000 })
  const line = /^\S.*:(\d+)$/m.exec(stderr)?.[1]
  return line === undefined ? '' : ` in line ${line}`
}

/** A package that has no entry for `require` is left to be found from here, which is the same tree as a rule. */
function resolvePackage(specifier: string, directory: string): string {
  try {
    return pathToFileURL(createRequire(join(directory, 'noop.js')).resolve(specifier)).href
  } catch {
    return specifier
  }
}
