'use strict'

/**
 * Finds the native addon: the file that `npm run build` left beside this one, else the package of this
 * system, which npm installs as an optional dependency. Only `native.ts` imports this.
 *
 * One name is tried in each place. An addon for another system is not tried at all: with a
 * compatibility layer for the other C library it may load, and fail under load.
 */
const { closeSync, existsSync, openSync, readSync } = require('node:fs')
const { join, toNamespacedPath } = require('node:path')

/** Systems with a package; a spec compares them with the folders of `npm` and with `napi.targets`. */
const PUBLISHED = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
]

const C_LIBRARIES = { gnu: 'glibc', musl: 'musl' }
const FROM_SOURCES = 'build gneiss from its sources on this system: npm run build in a checkout'

const system = `${process.platform}-${process.arch}${abi()}`
const built = join(__dirname, `gneiss.${system}.node`)
const packageName = `@gneiss/${system}`

module.exports = load()

function load() {
  if (existsSync(built)) return open(built)
  const manifest = manifestOf(packageName)
  if (manifest === undefined) throw new Error(explainMissing())
  const wanted = ownVersion()
  if (manifest.version !== wanted) {
    throw new Error(
      `${packageName} has version ${manifest.version} and gneiss has ${wanted}, but they are made for each other. ` +
        `Install both again: npm install gneiss@${wanted}`,
    )
  }
  return open(require.resolve(packageName))
}

function open(file) {
  // What require does with it in the end, without looking for the file again.
  const addon = { exports: {} }
  try {
    process.dlopen(addon, toNamespacedPath(file))
    return addon.exports
  } catch (cause) {
    throw new Error(explainUnloadable(file, String(cause.message)), { cause })
  }
}

/** What distinguishes the addons of one operating system, as napi names it. */
function abi() {
  if (process.platform === 'linux') return isMusl() ? '-musl' : '-gnu'
  return process.platform === 'win32' ? '-msvc' : ''
}

/** The program interpreter, named in the first page of Node's own file, belongs to one C library. */
function isMusl() {
  const page = Buffer.alloc(4096)
  try {
    const file = openSync(existsSync('/proc/self/exe') ? '/proc/self/exe' : process.execPath, 'r')
    readSync(file, page)
    closeSync(file)
  } catch {
    // Who may run a file need not be allowed to read it. What follows knows as well, and takes longer.
  }
  if (page.includes('/ld-musl-')) return true
  return !page.includes('/ld-linux') && glibcVersion() === undefined
}

/** Only Node's report knows it without another process. Undefined where there is no glibc. */
function glibcVersion() {
  // Else the report waits for the names of all peers.
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime
}

function manifestOf(name) {
  try {
    return require(`${name}/package.json`)
  } catch {
    return undefined
  }
}

function ownVersion() {
  return require('../package.json').version
}

function isCheckout() {
  return existsSync(join(__dirname, '..', 'Cargo.toml'))
}

function explainMissing() {
  const where = `there is no native addon for ${system} (Node ${process.version})`
  if (isCheckout()) return `${where}: ${built} is missing. This is a checkout: run npm run build`
  if (!PUBLISHED.includes(system)) {
    return `${where}: gneiss is published for ${PUBLISHED.join(', ')}. Use one of them, or ${FROM_SOURCES}`
  }
  const others = PUBLISHED.filter((name) => name !== system && manifestOf(`@gneiss/${name}`) !== undefined)
  if (others.length > 0) {
    const [os, cpu, variant] = system.split('-')
    const filters = [`--os=${os}`, `--cpu=${cpu}`, ...(C_LIBRARIES[variant] ? [`--libc=${C_LIBRARIES[variant]}`] : [])]
    return (
      `${where}: the package ${packageName} is not installed, but ${others.map(describe).join(', ')}. node_modules was ` +
      `installed on or for another system. Run npm ci on this one, or where you install: npm install ${filters.join(' ')}`
    )
  }
  return (
    `${where}: the package ${packageName}, an optional dependency of gneiss, is not installed. npm leaves it out with ` +
    `--omit=optional (--no-optional), or when the lock file was written without it. Install it again: ` +
    `npm install --include=optional gneiss@${ownVersion()}`
  )
}

function describe(name) {
  const library = C_LIBRARIES[name.split('-')[2]]
  return `@gneiss/${name} is${library === undefined ? '' : ` (for ${library})`}`
}

function explainUnloadable(file, message) {
  const where = `the native addon ${file} could not be loaded on ${system} (Node ${process.version})`
  const versions = Array.from(message.matchAll(/GLIBC_(\d+)\.(\d+)\S* not found/g), ([, major, minor]) => [
    major,
    minor,
  ])
  if (versions.length > 0) {
    const [needed = []] = versions.sort(([a, b], [c, d]) => c - a || d - b)
    return (
      `${where}: it needs glibc ${needed.join('.')}, and this system has ${glibcVersion() ?? 'none'}. ` +
      `Use a system with a newer glibc, or ${FROM_SOURCES}`
    )
  }
  const [line] = message.split('\n')
  const remedy = isCheckout() ? 'Run npm run build' : 'Remove node_modules and run npm ci'
  return `${where}: ${line}. ${remedy}; if it stays like this, ${FROM_SOURCES}`
}
