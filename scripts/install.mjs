/** Installs the development dependencies if they are not what package-lock.json says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT, npm } from './command.mjs'

/**
 * Part of a lock file.
 * @typedef {{ packages?: Record<string, { version?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }> }} Lock
 */

/**
 * Runs npm if `node_modules` is missing or stale. Not `npm ci`: it refuses a lock file without the
 * optional packages of other platforms, and a registry mirror need not carry those. This way installs
 * what is locked as well, and leaves the lock file as it is.
 */
export async function install() {
  const wanted = readLock(join(ROOT, 'package-lock.json'))
  const present = readLock(join(ROOT, 'node_modules', '.package-lock.json'))
  if (wanted === undefined) throw new Error('package-lock.json is missing: this is no complete checkout')
  if (present === undefined || isStale(wanted, present)) await npm(['install', '--no-save', '--no-audit', '--no-fund'])
}

/**
 * npm leaves a lock file of what it installed; packages for other platforms are not in it.
 * @param {Lock} wanted
 * @param {Lock} present
 */
function isStale(wanted, present) {
  return Object.entries(wanted.packages ?? {}).some(([path, { version, optional }]) => {
    const installed = present.packages?.[path]
    if (path === '' || (installed === undefined && optional === true)) return false
    return installed?.version !== version
  })
}

/**
 * @param {string} path
 * @returns {Lock | undefined}
 */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}
