/** What the argument APP names: a file, an export, whether to call it. */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { GneissError } from '../errors.ts'
import { suggestionOf } from '../suggest.ts'

/** A target in its parts. */
export interface Target {
  /** As written: a path, perhaps without its extension. */
  readonly file: string
  /** Names from the module down to the application; undefined when none was named. */
  readonly path: readonly string[] | undefined
  /** It was written as a call: the export makes the application. */
  readonly isCall: boolean
}

/** Extensions that may be left out, in the order in which they are tried. */
export const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs', '.cts', '.cjs'] as const

/**
 * Takes `file[:export[.path]]` or `file:factory()` apart. The export begins behind the last colon,
 * unless that is the one of a Windows drive or of a URL.
 * @throws `ERR_APP` when a part is empty.
 */
export function parseTarget(target: string): Target {
  const colon = target.lastIndexOf(':')
  const behind = target.slice(colon + 1)
  const isPartOfPath = colon < 0 || behind.includes('/') || behind.includes('\\') || isDrive(target, colon)
  if (isPartOfPath) return { file: checkFile(target, target), path: undefined, isCall: false }
  const isCall = behind.endsWith('()')
  const path = (isCall ? behind.slice(0, -2) : behind).split('.')
  if (path.includes('')) {
    throw new GneissError(
      'ERR_APP',
      `the application ${JSON.stringify(target)} names no export behind its colon; write file:export or file`,
    )
  }
  return { file: checkFile(target.slice(0, colon), target), path, isCall }
}

/**
 * The file a target means, as an absolute path: the name itself, the name with one of `EXTENSIONS`,
 * or the entry of a directory (`main` of its package.json, else `index`).
 * @throws `ERR_APP` with the nearest name of the directory.
 */
export function resolveFile(file: string, directory: string): string {
  const path = file.startsWith('file:') ? fileURLToPath(file) : resolve(directory, file)
  const found = resolvePath(path)
  if (found !== undefined) return found
  throw new GneissError('ERR_APP', `the file ${file} does not exist in ${directory}${suggestFile(path)}`)
}

function resolvePath(path: string): string | undefined {
  const kind = kindOf(path)
  if (kind === 'file') return path
  for (const extension of EXTENSIONS) {
    if (kindOf(path + extension) === 'file') return path + extension
  }
  return kind === 'directory' ? entryOf(path) : undefined
}

function entryOf(directory: string): string | undefined {
  const main = mainOf(directory)
  // A main that is the directory itself would lead back here.
  if (main !== undefined && resolve(directory, main) !== directory) return resolvePath(resolve(directory, main))
  return EXTENSIONS.map((extension) => join(directory, `index${extension}`)).find((path) => kindOf(path) === 'file')
}

function mainOf(directory: string): string | undefined {
  try {
    const { main } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { main?: unknown }
    return typeof main === 'string' ? main : undefined
  } catch {
    return undefined
  }
}

function kindOf(path: string): 'directory' | 'file' | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return undefined
  return stats.isDirectory() ? 'directory' : 'file'
}

/** Compares without extensions, because a wrong extension is the commonest mistake of all. */
function suggestFile(path: string): string {
  let names: string[]
  try {
    names = readdirSync(dirname(path)).filter((name) => (EXTENSIONS as readonly string[]).includes(extname(name)))
  } catch {
    return `; the directory ${dirname(path)} does not exist`
  }
  const stem = stemOf(basename(path))
  const sameStem = names.find((name) => stemOf(name) === stem)
  if (sameStem !== undefined) return `; did you mean ${sameStem}?`
  return suggestionOf(stem, names.map(stemOf)) === ''
    ? ''
    : suggestionOf(basename(path), names) || suggestionOf(stem, names.map(stemOf))
}

function stemOf(name: string): string {
  return (EXTENSIONS as readonly string[]).includes(extname(name)) ? name.slice(0, -extname(name).length) : name
}

function isDrive(target: string, colon: number): boolean {
  return colon === 1 && process.platform === 'win32' && /^[A-Za-z]$/.test(target.slice(0, 1))
}

function checkFile(file: string, target: string): string {
  if (file === '')
    throw new GneissError(
      'ERR_APP',
      `the application ${JSON.stringify(target)} names no file; write file or file:export`,
    )
  return file
}
