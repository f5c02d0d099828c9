/** Makes `dist` out of `src`: declarations by the compiler, JavaScript by the bundler. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'

import { bundle } from './bundle.mjs'
import { ROOT, mustRun } from './command.mjs'
import { filesUnder, fingerprint, readStamp, writeStamp } from './fingerprint.mjs'

const SRC = join(ROOT, 'src')
const DIST = join(ROOT, 'dist')

/**
 * Builds if the sources, the tools or the built files have changed since the last build.
 * @returns {Promise<boolean>} Whether anything was built.
 */
export async function buildTypeScript() {
  const tools = ['typescript', 'rolldown'].map(versionOf)
  const inputs = [SRC, join(ROOT, 'tsconfig.json'), join(ROOT, 'scripts', 'bundle.mjs')]
  const stamp = () => fingerprint([...inputs, ...compiledFiles()], tools)
  if (compiledFiles().length > 0 && readStamp('typescript') === stamp()) return false

  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  // First, because the bundler takes what has wrong types as well.
  await mustRun(process.execPath, [compiler, '-p', 'tsconfig.json', '--emitDeclarationOnly'])
  mkdirSync(DIST, { recursive: true })
  const modules = filesUnder(SRC).filter((file) => /(?<!\.d)\.ts$/.test(file))
  removeOrphans(await bundle(SRC, DIST, modules))
  writeStamp('typescript', stamp())
  return true
}

/**
 * A module that was removed from `src` must not go on being importable from `dist`.
 * @param {readonly string[]} bundled Files that were just written, among them those that stand for no module.
 */
function removeOrphans(bundled) {
  const sources = new Set(filesUnder(SRC).map((file) => moduleOf(file, SRC)))
  const written = new Set(bundled)
  for (const file of compiledFiles()) {
    if (!written.has(file) && !sources.has(moduleOf(file, DIST))) rmSync(file)
  }
}

/** @param {string} name */
function versionOf(name) {
  return JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version
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
