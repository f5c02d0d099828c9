/** Builds the native addon: `dist/gneiss.<platform>.node` and the generated types of its cold calls. */
import { copyFileSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT, mustRun } from './command.mjs'
import { filesUnder, fingerprint, readStamp, writeStamp } from './fingerprint.mjs'

const DIST = join(ROOT, 'dist')
const TYPES = join(ROOT, 'src', 'native', 'addon.d.mts')
// Not dist: what napi writes in place would be changed under the feet of a running server.
const STAGE = join(ROOT, 'target', 'addon')

/** Older than what Node itself asks for, and as old as the standard library of Rust allows. */
const OLDEST_GLIBC = '2.17'

const TYPES_HEADER = `/**
 * Generated from the addon by \`npm run build\`; never edited. Its hot calls are not in here: they are
 * raw Node-API functions, and \`native.ts\` types them.
 */
import type { Dispatch, Notify } from '../native.ts'

`

/**
 * Builds the addon if its sources, its profile or the built file have changed since the last build.
 * @param {string} profile A cargo profile: `release`, `profiling` or `dev`.
 * @returns {Promise<boolean>} Whether anything was built.
 */
export async function buildAddon(profile) {
  const sources = ['Cargo.toml', 'Cargo.lock', 'crates', 'rust-toolchain.toml'].map((path) => join(ROOT, path))
  const facts = [profile, process.platform, process.arch]
  const stamp = () => fingerprint([...sources, TYPES, ...builtFiles()], facts)
  if (builtFiles().length > 0 && readStamp('addon') === stamp()) return false

  await runBuild(profile === 'dev' ? [] : ['--profile', profile])
  mkdirSync(DIST, { recursive: true })
  for (const file of addonsIn(STAGE)) replace(join(STAGE, file), join(DIST, file))
  const types = TYPES_HEADER + readFileSync(join(STAGE, 'addon.d.mts'), 'utf8').trim() + '\n'
  // An unchanged file keeps its time, so that nothing downstream is rebuilt for it.
  if (types !== readTypes()) writeFileSync(TYPES, types)
  writeStamp('addon', stamp())
  return true
}

/**
 * Builds the addon of another system, always: `target/addons/gneiss.<system>.node`, for `npm run pack`.
 * @param {string} target One of `napi.targets` in package.json.
 * @param {boolean} isCross Whether cargo-zigbuild links it: for any Linux, and against an old glibc.
 */
export async function buildAddonFor(target, isCross) {
  const spelled = isCross && target.endsWith('-linux-gnu') ? `${target}.${OLDEST_GLIBC}` : target
  await runBuild(['--profile', 'release', '--target', spelled, ...(isCross ? ['--cross-compile'] : [])])
  const folder = join(ROOT, 'target', 'addons')
  mkdirSync(folder, { recursive: true })
  for (const file of addonsIn(STAGE)) replace(join(STAGE, file), join(folder, file))
}

/** @param {readonly string[]} args */
async function runBuild(args) {
  rmSync(STAGE, { recursive: true, force: true })
  await mustRun(process.execPath, [
    join(ROOT, 'node_modules', '@napi-rs', 'cli', 'cli.mjs'),
    'build',
    '--manifest-path=crates/node/Cargo.toml',
    '--output-dir=target/addon',
    '--platform',
    '--no-js',
    '--no-dts-header',
    '--dts=addon.d.mts',
    ...args,
  ])
}

/** The generated types as they stand, empty if there are none. */
export function readTypes() {
  return filesUnder(TYPES).length === 0 ? '' : readFileSync(TYPES, 'utf8')
}

/**
 * A rename gives the name to a new file; a server that runs keeps the old one mapped.
 * @param {string} from
 * @param {string} to
 */
function replace(from, to) {
  copyFileSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}

/** @param {string} folder */
function addonsIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith('.node'))
}

function builtFiles() {
  return filesUnder(DIST).filter((file) => file.endsWith('.node'))
}
