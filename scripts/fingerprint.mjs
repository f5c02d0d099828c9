/** Tells what is stale by content, because times say nothing after a checkout. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

import { ROOT } from './command.mjs'

const STAMPS = join(ROOT, 'target', 'stamps.json')

/**
 * A hash over names and contents of files, and over facts that are in no file.
 * @param {readonly string[]} paths Files and folders, absolute; those that are missing count as missing.
 * @param {readonly string[]} [facts]
 * @returns {string}
 */
export function fingerprint(paths, facts = []) {
  const hash = createHash('sha256')
  for (const fact of facts) hash.update(`${fact}\0`)
  for (const file of paths.flatMap(filesUnder).toSorted()) {
    hash.update(`${relative(ROOT, file)}\0`)
    hash.update(readFileSync(file))
  }
  return hash.digest('hex')
}

/**
 * Every file of a folder and its folders; a file is its own only member.
 * @param {string} path
 * @returns {string[]}
 */
export function filesUnder(path) {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return []
  if (!stats.isDirectory()) return [path]
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

/**
 * The stamp that the last build of a product left.
 * @param {string} product
 * @returns {string | undefined}
 */
export function readStamp(product) {
  return readStamps()[product]
}

/**
 * @param {string} product
 * @param {string} stamp
 */
export function writeStamp(product, stamp) {
  mkdirSync(dirname(STAMPS), { recursive: true })
  writeFileSync(STAMPS, `${JSON.stringify({ ...readStamps(), [product]: stamp }, undefined, 2)}\n`)
}

/** @returns {Record<string, string>} */
function readStamps() {
  try {
    return JSON.parse(readFileSync(STAMPS, 'utf8'))
  } catch {
    // Nothing was built yet, or the last build was cut while it wrote: all is stale then.
    return {}
  }
}
