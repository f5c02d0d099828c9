/**
 * `npm run pack`: makes the tarballs that are published, the main package and one for each addon that is built.
 *
 * - `-- --out FOLDER`: where the tarballs go, in place of those that are there; default `target/packages`;
 * - `--addons FOLDER`: addons of other systems, `gneiss.<system>.node`, beside the local one in `dist`;
 * - `--release`: every system must have its addon, none may ask for a newer glibc than Node does, and the
 *   changelog must know the version;
 * - `--no-build`: packs `dist` as it is.
 *
 * The main package gets its optional dependencies here and not in package.json: a lock file cannot hold packages
 * that are not published yet, and `npm ci` refuses a lock file that does not hold all of them.
 */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { buildAddon } from './addon.mjs'
import { isNewerGlibc, readAddon } from './addon-file.mjs'
import { ROOT, npm } from './command.mjs'
import { filesUnder } from './fingerprint.mjs'
import { buildTypeScript } from './typescript.mjs'

/** What the releases of Node for Linux ask for: with less there is no Node that could load us. */
const NEWEST_GLIBC = '2.28'

const DOCUMENTS = ['README.md', 'LICENSE', 'CHANGELOG.md', 'schema.json']

/** @typedef {{ name: string, version: string, main?: string } & Record<string, unknown>} Manifest */
/** @typedef {{ system: string, manifest: Manifest, addon: string | undefined }} Platform */

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(ROOT, 'target', 'packages') },
    addons: { type: 'string' },
    release: { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
  },
})
const out = resolve(values.out)

if (!values['no-build']) {
  await buildAddon('release')
  await buildTypeScript()
}
const main = readManifest('package.json')
const platforms = readPlatforms(values.addons === undefined ? [] : [resolve(values.addons)])
check(platforms)
mkdirSync(out, { recursive: true })
for (const file of tarballs()) rmSync(file)
const stage = mkdtempSync(join(tmpdir(), 'gneiss-pack-'))
for (const { system, manifest, addon } of platforms) {
  if (addon === undefined) continue
  const files = [
    { from: addon, to: `gneiss.${system}.node` },
    { from: join(ROOT, 'npm', system, 'README.md'), to: 'README.md' },
    { from: join(ROOT, 'LICENSE'), to: 'LICENSE' },
  ]
  await pack(system, manifest, files)
}
await pack('gneiss', publishedManifest(main, platforms), [
  ...DOCUMENTS.map((name) => ({ from: join(ROOT, name), to: name })),
  ...filesUnder(join(ROOT, 'dist'))
    .filter((file) => /\.(?:cjs|js|d\.ts)$/.test(file))
    .map((file) => ({ from: file, to: relative(ROOT, file) })),
])
rmSync(stage, { recursive: true })
for (const file of tarballs()) {
  const digest = createHash('sha256').update(readFileSync(file)).digest('hex')
  process.stdout.write(`${digest}  ${basename(file)}\n`)
}

function tarballs() {
  return readdirSync(out)
    .filter((name) => /^gneiss-.*\.tgz$/.test(name))
    .toSorted()
    .map((name) => join(out, name))
}

/**
 * The manifests of `npm/`, each with its addon where there is one.
 * @param {readonly string[]} folders Looked into before `dist`.
 * @returns {Platform[]}
 */
function readPlatforms(folders) {
  const manifests = filesUnder(join(ROOT, 'npm')).filter((file) => basename(file) === 'package.json')
  return manifests.toSorted().map((file) => {
    const manifest = readManifest(relative(ROOT, file))
    const system = basename(dirname(file))
    const addon = [...folders, join(ROOT, 'dist')]
      .map((folder) => join(folder, `gneiss.${system}.node`))
      .find(existsSync)
    return { system, manifest, addon }
  })
}

/**
 * Refuses what must not be published.
 * @param {readonly Platform[]} all
 */
function check(all) {
  const faults = all.flatMap(({ system, manifest, addon }) => [
    ...(manifest.version === main.version
      ? []
      : [`npm/${system} has version ${manifest.version}, not ${main.version}`]),
    ...(addon === undefined ? [] : faultsOf(system, addon)),
  ])
  if (all.every(({ addon }) => addon === undefined)) faults.push('there is no addon; run npm run build')
  if (values.release) {
    const missing = all.filter(({ addon }) => addon === undefined).map(({ system }) => system)
    if (missing.length > 0)
      faults.push(`no addon for ${missing.join(', ')}; build them and name their folder: --addons`)
    const changelog = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
    if (!changelog.includes(`\n## ${main.version}`)) faults.push(`CHANGELOG.md has no section ${main.version}`)
  }
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

/**
 * @param {string} system
 * @param {string} addon
 */
function faultsOf(system, addon) {
  const facts = readAddon(readFileSync(addon))
  if (facts.system !== system) return [`${addon} is an addon for ${facts.system}`]
  const isTooNew = facts.glibc !== undefined && isNewerGlibc(facts.glibc, NEWEST_GLIBC)
  const text = `${addon} needs glibc ${facts.glibc}, and Node itself only ${NEWEST_GLIBC}; build it with --cross`
  if (isTooNew && !values.release) process.stderr.write(`${text}\n`)
  return isTooNew && values.release ? [text] : []
}

/**
 * Without what only a checkout can use, and with what only the registry has.
 * @param {Manifest} manifest
 * @param {readonly Platform[]} all
 * @returns {Manifest}
 */
function publishedManifest({ private: _private, scripts: _scripts, devDependencies: _dev, napi: _napi, ...rest }, all) {
  const optionalDependencies = Object.fromEntries(all.map((platform) => [platform.manifest.name, rest.version]))
  return { ...rest, optionalDependencies }
}

/**
 * @param {string} name Of the folder in which the package is put together.
 * @param {Manifest} manifest
 * @param {readonly { from: string, to: string }[]} files
 */
async function pack(name, manifest, files) {
  const folder = join(stage, name)
  for (const { from, to } of files) {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    copyFileSync(from, join(folder, to))
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  await npm(['pack', folder, '--pack-destination', out, '--ignore-scripts', '--loglevel=error'])
}

/**
 * @param {string} path From the root.
 * @returns {Manifest}
 */
function readManifest(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'))
}
