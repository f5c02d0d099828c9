/**
 * Finds the native addon: the file that `npm run build` left in `dist`, else the package of this system, which npm
 * installs as an optional dependency. Only `native.ts` imports this. The addon is opened past Node's `require`, which
 * would cost a twentieth of a start.
 *
 * One name is tried in each place. An addon for another system is not tried at all: with a
 * compatibility layer for the other C library it may load, and fail under load.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, toNamespacedPath } from 'node:path'
import { fileURLToPath } from 'node:url'

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

const C_LIBRARIES: Readonly<Record<string, string>> = { gnu: 'glibc', musl: 'musl' }
const FROM_SOURCES = 'build gneiss from its sources on this system: npm run build in a checkout'

/** Absolute path of the folder that this module is built into. */
const DIST = fileURLToPath(new URL('..', import.meta.url))
/** Absolute path of the package. */
const HOME = join(DIST, '..')

/** The manifest of a package, as far as it matters here. */
interface Manifest {
  readonly version: string
}

let addon: object | undefined

/** The addon of this isolate. @throws An `Error` that says what was looked for, what was found, and what to do. */
export function loadAddon(): object {
  return (addon ??= load())
}

function load(): object {
  const system = `${process.platform}-${process.arch}${abi()}`
  const built = join(DIST, `gneiss.${system}.node`)
  if (existsSync(built)) return open(built, system)
  const packageName = `@gneiss/${system}`
  const manifest = manifestOf(packageName)
  if (manifest === undefined) throw new Error(explainMissing(system, built))
  const wanted = ownVersion()
  if (manifest.version !== wanted) {
    throw new Error(
      `${packageName} has version ${manifest.version} and gneiss has ${wanted}, but they are made for each other. ` +
        `Install both again: npm install gneiss@${wanted}`,
    )
  }
  return open(find(packageName), system)
}

function open(file: string, system: string): object {
  // What require does with it in the end, without looking for the file again.
  const opened = { exports: {} }
  try {
    process.dlopen(opened, toNamespacedPath(file))
    return opened.exports
  } catch (cause) {
    throw new Error(explainUnloadable(file, system, String((cause as Error).message)), { cause })
  }
}

/** Path of a package's file as everybody in this package finds it. @throws When it is not installed. */
function find(specifier: string): string {
  return createRequire(import.meta.url).resolve(specifier)
}

function manifestOf(name: string): Manifest | undefined {
  try {
    return read(find(`${name}/package.json`))
  } catch {
    return undefined
  }
}

function ownVersion(): string {
  return read(join(HOME, 'package.json')).version
}

function read(file: string): Manifest {
  return JSON.parse(readFileSync(file, 'utf8')) as Manifest
}

function isCheckout(): boolean {
  return existsSync(join(HOME, 'Cargo.toml'))
}

/** What distinguishes the addons of one operating system, as napi names it. */
function abi(): string {
  if (process.platform === 'linux') return isMusl() ? '-musl' : '-gnu'
  return process.platform === 'win32' ? '-msvc' : ''
}

/** The program interpreter, named in the first page of Node's own file, belongs to one C library. */
function isMusl(): boolean {
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
function glibcVersion(): string | undefined {
  // Its types do not know either. Without the first the report waits for the names of all peers.
  const report = process.report as unknown as {
    excludeNetwork: boolean
    getReport(): { header: { glibcVersionRuntime?: string } }
  }
  report.excludeNetwork = true
  return report.getReport().header.glibcVersionRuntime
}

function explainMissing(system: string, built: string): string {
  const where = `there is no native addon for ${system} (Node ${process.version})`
  if (isCheckout()) return `${where}: ${built} is missing. This is a checkout: run npm run build`
  if (!PUBLISHED.includes(system)) {
    return `${where}: gneiss is published for ${PUBLISHED.join(', ')}. Use one of them, or ${FROM_SOURCES}`
  }
  const others = PUBLISHED.filter((name) => name !== system && manifestOf(`@gneiss/${name}`) !== undefined)
  if (others.length > 0) {
    const [os, cpu] = system.split('-')
    const library = libraryOf(system)
    const filters = [`--os=${os}`, `--cpu=${cpu}`, ...(library === undefined ? [] : [`--libc=${library}`])]
    return (
      `${where}: the package @gneiss/${system} is not installed, but ${others.map(describe).join(', ')}. node_modules was ` +
      `installed on or for another system. Run npm ci on this one, or where you install: npm install ${filters.join(' ')}`
    )
  }
  return (
    `${where}: the package @gneiss/${system}, an optional dependency of gneiss, is not installed. npm leaves it out with ` +
    `--omit=optional (--no-optional), or when the lock file was written without it. Install it again: ` +
    `npm install --include=optional gneiss@${ownVersion()}`
  )
}

function describe(name: string): string {
  const library = libraryOf(name)
  return `@gneiss/${name} is${library === undefined ? '' : ` (for ${library})`}`
}

/** The C library of a system as npm calls it. */
function libraryOf(system: string): string | undefined {
  return C_LIBRARIES[system.split('-')[2] ?? '']
}

function explainUnloadable(file: string, system: string, message: string): string {
  const where = `the native addon ${file} could not be loaded on ${system} (Node ${process.version})`
  const [needed] = Array.from(message.matchAll(/GLIBC_(\d+)\.(\d+)\S* not found/g), ([, major, minor]) => ({
    major: Number(major),
    minor: Number(minor),
  })).sort((one, other) => other.major - one.major || other.minor - one.minor)
  if (needed !== undefined) {
    return (
      `${where}: it needs glibc ${needed.major}.${needed.minor}, and this system has ${glibcVersion() ?? 'none'}. ` +
      `Use a system with a newer glibc, or ${FROM_SOURCES}`
    )
  }
  const [line] = message.split('\n')
  const remedy = isCheckout() ? 'Run npm run build' : 'Remove node_modules and run npm ci'
  return `${where}: ${line}. ${remedy}; if it stays like this, ${FROM_SOURCES}`
}
