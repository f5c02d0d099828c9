/** Node releases that the tests run on besides the local one, installed on demand into `.nodes`. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT, npm } from './command.mjs'

/** Exact releases by major version, so that a run says the same thing tomorrow. */
export const NODES = { 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' }

/**
 * The binary of a release. Installs it if it is not there.
 * @param {string} version
 * @returns {Promise<string>}
 */
export async function nodeBinary(version) {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  const home = join(ROOT, '.nodes', version)
  const binary = join(home, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (existsSync(binary)) return binary
  try {
    await npm(['install', '--prefix', home, '--no-save', '--no-package-lock', '--ignore-scripts', `${name}@${version}`])
  } catch (cause) {
    throw new Error(unobtainable(name, version), { cause })
  }
  if (!existsSync(binary)) throw new Error(unobtainable(name, version))
  return binary
}

/**
 * @param {string} name
 * @param {string} version
 */
function unobtainable(name, version) {
  const major = version.slice(0, version.indexOf('.'))
  return (
    `Node ${version} could not be installed from the npm package ${name}. ` +
    `Install it in another way and name its binary: npm test -- --node ${major}=PATH`
  )
}
