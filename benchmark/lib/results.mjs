/**
 * Result files: what they say of the machine, where they lie, which is the newest. They hold no host name and no path.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform, release, totalmem } from 'node:os'

import { ROOT } from './servers.mjs'

const FOLDER = new URL('../results/', import.meta.url)

/** What the figures depend on and a reader has to know. */
export function machineOf() {
  return {
    cpu: cpus()[0].model,
    processors: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
  }
}

/** The commit that was measured, `+` when the checkout had changes; undefined outside a checkout. */
export function commitOf() {
  try {
    const git = (...args) =>
      execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!benchmark/results') !== ''
    return git('rev-parse', '--short', 'HEAD') + (changed ? '+' : '')
  } catch {
    return undefined
  }
}

/** Writes a result as `<date>-<kind>.json`, in place of an earlier one of that day; gives its path in the checkout. */
export function writeResult(result) {
  const name = `${result.date.slice(0, 10)}-${result.kind}.json`
  mkdirSync(FOLDER, { recursive: true })
  // One sample a line: a diff between two runs stays readable.
  const text = JSON.stringify(result, rounded, 1).replace(/\{[^{}[\]]*\}/g, (flat) => flat.replace(/\s*\n\s*/g, ' '))
  writeFileSync(new URL(name, FOLDER), `${text}\n`)
  return `benchmark/results/${name}`
}

/** The newest result of a kind, or of any of several kinds; undefined when there is none. */
export function newestResult(kinds) {
  const names = readFolder().filter((name) => kinds.some((kind) => name.endsWith(`-${kind}.json`)))
  const results = names.map((name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')))
  return results.toSorted((a, b) => a.date.localeCompare(b.date)).at(-1)
}

function readFolder() {
  try {
    return readdirSync(FOLDER)
  } catch {
    return []
  }
}

/** Four significant digits say more than the spread allows. */
function rounded(key, value) {
  if (typeof value !== 'number' || Number.isInteger(value)) return value
  return Number(value.toPrecision(5))
}
