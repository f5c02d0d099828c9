/** How the addon is found, and what a person is told who has none that fits: an installed gneiss, on systems that are played. */
import { spawn } from 'node:child_process'
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'

import type { Exit } from './harness/cli.ts'

const { version, engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string
  engines: { node: string }
}
const LOCAL = localSystem()
const ADDON = join(ROOT, 'dist', `gneiss.${LOCAL}.node`)

/** What a played system says of itself; what is not named stays as it is. */
interface Played {
  readonly platform?: string
  readonly arch?: string
  readonly node?: string
  /** Program interpreter in the file of Node, from which the C library is known. */
  readonly interpreter?: string
}

/** An addon package in `node_modules`. */
interface AddonPackage {
  readonly system: string
  readonly version?: string
  /** Bytes of the addon; a text is no addon. */
  readonly addon?: string | Uint8Array
}

/** gneiss in `node_modules` as npm leaves it, with these addon packages beside it. */
function install(...packages: readonly AddonPackage[]): string {
  const folder = folderWith({
    'app.js': 'exports.app = { __rsgi__() {} }',
    ...Object.fromEntries(
      packages.map((entry) => [
        `node_modules/@gneiss/${entry.system}/package.json`,
        JSON.stringify({
          name: `@gneiss/${entry.system}`,
          version: entry.version ?? version,
          main: `gneiss.${entry.system}.node`,
        }),
      ]),
    ),
  })
  for (const { system, addon = 'no addon' } of packages)
    writeFileSync(join(folder, 'node_modules', '@gneiss', system, `gneiss.${system}.node`), addon)
  const home = join(folder, 'node_modules', 'gneiss')
  cpSync(join(ROOT, 'dist'), join(home, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.node') })
  copyFileSync(join(ROOT, 'package.json'), join(home, 'package.json'))
  return folder
}

/** Starts the installed program on a played system, to its end. */
function start(folder: string, played: Played = {}): Promise<Exit> {
  writeFileSync(join(folder, 'play.cjs'), playing(played))
  if (played.interpreter !== undefined)
    writeFileSync(join(folder, 'node'), `\x7fELF${'\0'.repeat(780)}${played.interpreter}\0`)
  const args = ['--require', './play.cjs', 'node_modules/gneiss/dist/cli.js', '--bind', '127.0.0.1:0', 'app.js']
  return watch(spawn(process.execPath, args, { cwd: folder, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })).exit
}

function playing({ platform, arch, node, interpreter }: Played): string {
  const facts = Object.entries({ platform, arch, version: node === undefined ? undefined : `v${node}` })
  return [
    ...facts
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `Object.defineProperty(process, '${name}', { value: '${value}' })`),
    ...(node === undefined
      ? []
      : [`Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}' } })`]),
    ...(interpreter === undefined
      ? []
      : [
          `const fs = require('node:fs'), { openSync } = fs`,
          `fs.openSync = (path, ...rest) => openSync(path === '/proc/self/exe' ? './node' : path, ...rest)`,
        ]),
  ].join('\n')
}

/** One line with the code, and the exit code of a server's own fault. */
function said({ code, stdout, stderr }: Exit): string {
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^gneiss: [^\n]*[^.] \[ERR_NATIVE\]\n$/)
  return stderr.slice('gneiss: '.length, -' [ERR_NATIVE]\n'.length)
}

const GLIBC = { platform: 'linux', arch: 'x64', interpreter: '/lib64/ld-linux-x86-64.so.2' }
const MUSL = { platform: 'linux', arch: 'x64', interpreter: '/lib/ld-musl-x86_64.so.1' }

describe('without the package of this system', () => {
  test('names the platform, the package, the ways in which npm leaves it out, and the way back', async () => {
    expect(said(await start(install(), GLIBC))).toBe(
      `there is no native addon for linux-x64-gnu (Node ${process.version}): the package @gneiss/linux-x64-gnu, ` +
        'an optional dependency of gneiss, is not installed. npm leaves it out with --omit=optional (--no-optional), ' +
        `or when the lock file was written without it. Install it again: npm install --include=optional gneiss@${version}`,
    )
  })

  test.each([
    ['linux-x64-musl', MUSL, 'linux-x64-gnu', 'is (for glibc)', '--os=linux --cpu=x64 --libc=musl'],
    ['linux-x64-gnu', GLIBC, 'linux-x64-musl', 'is (for musl)', '--os=linux --cpu=x64 --libc=glibc'],
    ['linux-arm64-gnu', { ...GLIBC, arch: 'arm64' }, 'linux-x64-gnu', 'is (for glibc)', '--os=linux --cpu=arm64'],
    ['linux-x64-gnu', GLIBC, 'darwin-arm64', 'is', '--os=linux --cpu=x64 --libc=glibc'],
    ['darwin-x64', { platform: 'darwin', arch: 'x64' }, 'darwin-arm64', 'is', '--os=darwin --cpu=x64'],
    ['win32-x64-msvc', { platform: 'win32', arch: 'x64' }, 'linux-x64-gnu', 'is (for glibc)', '--os=win32 --cpu=x64'],
  ])('on %s, names the package of another system that is there', async (system, played, other, how, filters) => {
    const text = said(await start(install({ system: other }), played))
    expect(text).toContain(`there is no native addon for ${system} (`)
    expect(text).toContain(`the package @gneiss/${system} is not installed, but @gneiss/${other} ${how}. `)
    expect(text).toContain(`Run npm ci on this one, or where you install: npm install ${filters}`)
  })

  test.each([
    ['freebsd-x64', { platform: 'freebsd', arch: 'x64' }],
    ['linux-riscv64-gnu', { ...GLIBC, arch: 'riscv64' }],
    ['darwin-ppc64', { platform: 'darwin', arch: 'ppc64' }],
    ['win32-arm64-msvc', { platform: 'win32', arch: 'arm64' }],
  ])('on %s, says that there is none to be installed', async (system, played) => {
    const text = said(await start(install({ system: 'linux-x64-gnu' }), played))
    expect(text).toContain(`there is no native addon for ${system} (`)
    expect(text).toContain('gneiss is published for linux-x64-gnu, linux-arm64-gnu, linux-x64-musl, ')
    expect(text).toContain('or build gneiss from its sources on this system: npm run build in a checkout')
  })

  test('in a checkout, says how to build it', async () => {
    const folder = install()
    writeFileSync(join(folder, 'node_modules', 'gneiss', 'Cargo.toml'), '')
    expect(said(await start(folder))).toMatch(new RegExp(`gneiss.${LOCAL}.node is missing. .*: run npm run build$`))
  })
})

describe('with a package that does not serve', () => {
  test('of another version, names both versions', async () => {
    const text = said(await start(install({ system: LOCAL, version: '0.0.9', addon: readFileSync(ADDON) })))
    expect(text).toBe(
      `@gneiss/${LOCAL} has version 0.0.9 and gneiss has ${version}, but they are made for each other. ` +
        `Install both again: npm install gneiss@${version}`,
    )
  })

  test('with a damaged addon, says which file it is and what the system says of it', async () => {
    const text = said(await start(install({ system: LOCAL, addon: readFileSync(ADDON).subarray(0, 100) })))
    expect(text).toMatch(
      new RegExp(`@gneiss/${LOCAL}/gneiss.${LOCAL}.node could not be loaded on ${LOCAL} \\(Node v[\\d.]+\\): \\S`),
    )
    expect(text).toContain('. Remove node_modules and run npm ci; if it stays like this, build gneiss from its sources')
  })

  test.skipIf(!LOCAL.endsWith('-gnu'))('for a newer glibc, says which is needed and which is here', async () => {
    const addon = readFileSync(ADDON)
    const at = addon.indexOf('GLIBC_2.')
    // The loader of the system now looks for a version that no glibc has.
    addon.write('GLIBC_9.', at)
    const text = said(await start(install({ system: LOCAL, addon })))
    expect(text).toMatch(
      /: it needs glibc 9\.\d+, and this system has 2\.\d+\. Use a system with a newer glibc, or build /,
    )
  })
})

describe('the Node that runs it', () => {
  test.each(['18.20.8', '20.18.3', '21.7.3', '22.11.0'])('%s is too old, and is told so', async (node) => {
    const text = said(await start(install({ system: LOCAL, addon: readFileSync(ADDON) }), { node }))
    expect(text).toContain(`gneiss needs Node 20.19, 22.12 or 24 and later, and this is Node ${node}. Install a newer`)
    expect(engines.node).toBe('^20.19.0 || ^22.12.0 || >=24.0.0')
  })

  test('is told so as an error that a program can catch, too', async () => {
    const folder = install()
    writeFileSync(join(folder, 'play.cjs'), playing({ node: '20.18.3' }))
    const script =
      "await import('gneiss').catch(({ name, code, fault, message }) => " +
      'process.stdout.write(JSON.stringify({ name, code, fault, message })))'
    const args = ['--require', './play.cjs', '--input-type=module', '--eval', script]
    const child = spawn(process.execPath, args, { cwd: folder, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
    const { stdout, stderr } = await watch(child).exit
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toMatchObject({ name: 'GneissError', code: 'ERR_NATIVE', fault: 'server' })
  })
})

describe('the addon of a checkout', () => {
  test('comes before the package of the system', async () => {
    const folder = install({ system: LOCAL, addon: 'no addon' })
    copyFileSync(ADDON, join(folder, 'node_modules', 'gneiss', 'dist', `gneiss.${LOCAL}.node`))
    const script = "await import('gneiss'); process.stdout.write('loaded')"
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: folder,
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(await watch(child).exit).toMatchObject({ code: 0, stdout: 'loaded', stderr: '' })
  })
})

/** As the build named it, which knows this by other means than the loader. */
function localSystem(): string {
  const names = Array.from(
    readFileSync(join(ROOT, 'src', 'native', 'binding.ts'), 'utf8').matchAll(/^ {2}'(\w+-\w+(?:-\w+)?)',$/gm),
    ([, name = '']) => name,
  )
  const { platform, arch } = process
  const glibc = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime
  const abi = platform === 'linux' ? (glibc === undefined ? '-musl' : '-gnu') : platform === 'win32' ? '-msvc' : ''
  const name = `${platform}-${arch}${abi}`
  if (!names.includes(name)) throw new Error(`${name} is not published, so there is no package to play with`)
  return name
}
