/** Compiles `src` into `dist` and takes the loader of the addon along. */
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'

import { ROOT, mustRun } from './command.mjs'
import { filesUnder, fingerprint, readStamp, writeStamp } from './fingerprint.mjs'

const SRC = join(ROOT, 'src')
const DIST = join(ROOT, 'dist')
/** Not TypeScript, so the compiler leaves it where it is. */
const LOADER = 'binding.cjs'

/**
 * Compiles if the sources, the compiler or the compiled files have changed since the last build.
 * @returns {Promise<boolean>} Whether anything was built.
 */
export async function buildTypeScript() {
  const compiler = JSON.parse(readFileSync(join(ROOT, 'node_modules', 'typescript', 'package.json'), 'utf8'))
  const inputs = [SRC, join(ROOT, 'tsconfig.json')]
  const stamp = () => fingerprint([...inputs, ...compiledFiles()], [compiler.version])
  if (compiledFiles().length > 0 && readStamp('typescript') === stamp()) return false

  await mustRun(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'])
  mkdirSync(DIST, { recursive: true })
  copyFileSync(join(SRC, LOADER), join(DIST, LOADER))
  removeOrphans()
  writeStamp('typescript', stamp())
  return true
}

/** A module that was removed from `src` must not go on being importable from `dist`. */
function removeOrphans() {
  const sources = new Set(filesUnder(SRC).map((file) => moduleOf(file, SRC)))
  for (const file of compiledFiles()) {
    if (!sources.has(moduleOf(file, DIST))) rmSync(file)
  }
}

/**
 * @param {string} file
 * @param {string} folder
 */
function moduleOf(file, folder) {
  const path = file.slice(folder.length + 1)
  const name = basename(path)
  return path.slice(0, path.length - name.length) + name.slice(0, name.indexOf('.'))
}

function compiledFiles() {
  return filesUnder(DIST).filter((file) => /\.([cm]?js|d\.[cm]?ts)$/.test(file))
}
