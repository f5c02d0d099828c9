'use strict'

/**
 * Finds the native addon: the file that `npm run build` left beside this one, else the package of
 * this platform, which npm installs as an optional dependency. Only `native.ts` imports this.
 *
 * On Linux both C libraries are tried: only the matching package is ever installed, and asking the
 * system which one it has costs more than the attempt.
 */
const ABIS = { darwin: [''], linux: ['-gnu', '-musl'], win32: ['-msvc'] }

const platforms = (ABIS[process.platform] ?? ['']).map((abi) => `${process.platform}-${process.arch}${abi}`)
const candidates = [
  ...platforms.map((platform) => `./gneiss.${platform}.node`),
  ...platforms.map((platform) => `@gneiss/${platform}`),
]

function load() {
  const faults = []
  for (const candidate of candidates) {
    try {
      return require(candidate)
    } catch (fault) {
      faults.push(fault)
    }
  }
  // A file that is there and does not load says more than three that are not there.
  const telling = faults.find((fault) => fault.code !== 'MODULE_NOT_FOUND')
  throw telling ?? new Error(`none of these was found: ${candidates.join(', ')}`)
}

module.exports = load()
