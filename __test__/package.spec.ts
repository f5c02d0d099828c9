/** What is published: packed as for a release, installed into an empty folder, used as a stranger would. */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  existsSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { readAddon } from '../scripts/addon-file.mjs'
import { bundle } from '../scripts/bundle.mjs'
import { ROOT, cleanEnv, watch } from './harness/cli.ts'
import { request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { leftGauges } from './harness/gauges.ts'
import { sourcesIn } from './harness/sources.ts'

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
const APP = "exports.app = { __rsgi__(scope, protocol) { protocol.responseStr(200, [], 'hello ' + scope.path) } }"
/** Not `npm` but its file: a `PATH` without a compiler has to do without everything else that lies there, too. */
const NPM = npmFile()

let folder: string
let tarballs: string[]

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'gneiss-packages-')))
  tarballs = pack(join(folder, 'packages'))
  // Nothing but Node is to be found by name; no cargo, no rustc, no C compiler.
  mkdirSync(join(folder, 'bin'))
  symlinkSync(process.execPath, join(folder, 'bin', 'node'))
}, 60_000)

afterAll(() => {
  rmSync(folder, { recursive: true })
})

describe('the tarballs', () => {
  test('are one for the main package, and one for each addon that is built', () => {
    const systems = readdirSync(join(ROOT, 'dist')).flatMap((name) => /^gneiss\.(.+)\.node$/.exec(name)?.[1] ?? [])
    expect(tarballs.map((file) => basename(file)).toSorted()).toEqual(
      [`gneiss-${version}.tgz`, ...systems.map((system) => `gneiss-${system}-${version}.tgz`)].toSorted(),
    )
  })

  test('the main one holds what runs, its types, the schema and three documents, and nothing else', () => {
    const modules = sourcesIn('src', '.ts').map(({ path }) => path.slice('src/'.length, -'.ts'.length))
    const expected = [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
      'schema.json',
      'dist/chunks/addon.js',
      'dist/chunks/master.js',
      'dist/chunks/serve.js',
      'dist/chunks/start.js',
      ...modules.flatMap((module) => [`dist/${module}.js`, `dist/${module}.d.ts`]),
    ]
    expect(filesOf(mainTarball())).toEqual(expected.toSorted())
    // Whoever packs the checkout by hand gets the same files.
    const byHand = execFileSync(process.execPath, [NPM, 'pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: ROOT,
      env: environment(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [packed] = JSON.parse(byHand) as { files: { path: string }[] }[]
    expect(packed?.files.map(({ path }) => path).toSorted()).toEqual(expected.toSorted())
  })

  test('one of an addon holds that and what says what it is', () => {
    for (const file of addonTarballs()) {
      const name = `gneiss.${basename(file).slice('gneiss-'.length, -`-${version}.tgz`.length)}.node`
      expect(filesOf(file)).toEqual(['LICENSE', 'README.md', name, 'package.json'])
    }
  })

  test('the main one depends on every addon at its own version, on nothing else, and runs nothing when it is installed', () => {
    const manifest = JSON.parse(fileIn(mainTarball(), 'package.json')) as Record<string, unknown>
    const systems = readdirSync(join(ROOT, 'npm')).filter((name) => name !== 'README.md')
    expect(manifest).toMatchObject({ name: 'gneiss', version })
    expect(manifest['optionalDependencies']).toEqual(
      Object.fromEntries(systems.map((system) => [`@gneiss/${system}`, version])),
    )
    for (const key of ['dependencies', 'devDependencies', 'scripts', 'napi', 'private'])
      expect(manifest).not.toHaveProperty(key)
  })

  test('are the same bytes when they are packed again', () => {
    const again = pack(join(folder, 'again'))
    expect(again.map(digestOf)).toEqual(tarballs.map(digestOf))
  })

  test('hold what another build of the same sources makes, byte by byte', async () => {
    const built = join(folder, 'built')
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    // In another order, as another file system would list them.
    const modules = sourcesIn('src', '.ts')
      .map(({ path }) => join(ROOT, path))
      .toReversed()
    execFileSync(process.execPath, [compiler, '-p', 'tsconfig.json', '--emitDeclarationOnly', '--outDir', built], {
      cwd: ROOT,
    })
    await bundle(join(ROOT, 'src'), built, modules)
    const files = readdirSync(built, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.endsWith('.ts') || path.endsWith('.js'),
    )
    expect(files.length).toBeGreaterThan(modules.length)
    for (const path of files)
      expect(readFileSync(join(built, path), 'utf8')).toBe(fileIn(mainTarball(), `dist/${path}`))
  })
})

describe('installed without a compiler, a network, and scripts', () => {
  let home: string

  beforeAll(() => {
    home = install('both', tarballs)
  }, 60_000)

  test('there is no compiler to be found', async () => {
    for (const name of ['cargo', 'rustc', 'cc']) {
      const child = spawn(process.execPath, ['-e', `require('node:child_process').execFileSync('${name}')`], {
        env: environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      expect((await watch(child).exit).stderr).toContain('ENOENT')
    }
  })

  test('the command serves an application', async () => {
    const child = spawn(join(home, 'node_modules', '.bin', 'gneiss'), ['--bind', '127.0.0.1:0', 'app.js'], {
      cwd: home,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await expectToServe(watch(child))
  })

  test('the library serves an application', async () => {
    writeFileSync(
      join(home, 'main.mjs'),
      `import { createRequire } from 'node:module'
      import { serve } from 'gneiss'
      const { app } = createRequire(import.meta.url)('./app.js')
      const server = await serve(app, { bind: '127.0.0.1:0' })
      console.log(JSON.stringify({ event: 'ready', url: server.url }))
      process.once('SIGTERM', async () => {
        await server.close()
        console.log(JSON.stringify({ event: 'stopped', ...server.stats() }))
      })`,
    )
    await expectToServe(watch(node(home, ['main.mjs'])))
  })

  test('everything that it exports can be resolved, from both kinds of modules', async () => {
    const names = ['gneiss', 'gneiss/package.json', 'gneiss/schema.json']
    const script = `for (const name of ${JSON.stringify(names)}) console.log(import.meta.resolve(name))
      console.log(JSON.stringify(Object.keys(await import('gneiss')).toSorted()))
      const { createRequire } = await import('node:module')
      const { $schema } = createRequire(process.cwd() + '/')('gneiss/schema.json')
      console.log($schema, createRequire(process.cwd() + '/')('gneiss/package.json').version)
      await import('gneiss/dist/cli.js').catch(({ code }) => console.log(code))`
    const { stdout, stderr } = await watch(node(home, ['--input-type=module', '--eval', script])).exit
    expect(stderr).toBe('')
    const inside = (path: string): string => `file://${join(home, 'node_modules', 'gneiss', path)}`
    expect(stdout.trimEnd().split('\n')).toEqual([
      inside('dist/index.js'),
      inside('package.json'),
      inside('schema.json'),
      '["Application","ERROR_CODES","GneissError","Response","defineApp","defineConfig","serve"]',
      `http://json-schema.org/draft-07/schema# ${version}`,
      'ERR_PACKAGE_PATH_NOT_EXPORTED',
    ])
  })

  test('its types are those that a strict program in nodenext sees', async () => {
    writeFileSync(
      join(home, 'program.mts'),
      `import { GneissError, defineConfig, serve } from 'gneiss'
      import type { RsgiApp, Server } from 'gneiss'
      export default defineConfig({ keepAlive: '30s' })
      const app: RsgiApp = { __rsgi__: (scope, protocol) => protocol.responseStr(200, [], scope.path) }
      const server: Server = await serve(app, { bind: '127.0.0.1:0' })
      export const code: string | undefined = new GneissError('ERR_BIND', server.url).code
      // @ts-expect-error a misspelled option does not compile
      await serve(app, { keepAlives: 1 })`,
    )
    const options = { module: 'nodenext', target: 'es2023', strict: true, noEmit: true, types: ['node'] }
    const typeRoots = [join(ROOT, 'node_modules', '@types')]
    writeFileSync(
      join(home, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...options, typeRoots, skipLibCheck: false }, files: ['program.mts'] }),
    )
    const { code, stdout } = await watch(node(home, [join(ROOT, 'node_modules/typescript/bin/tsc')])).exit
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  })
})

describe('installed without its addon', () => {
  let home: string

  beforeAll(() => {
    home = install('alone', [mainTarball()])
  }, 60_000)

  test('the command says which package is missing, and what to do', async () => {
    const child = spawn(join(home, 'node_modules', '.bin', 'gneiss'), ['--bind', '127.0.0.1:0', 'app.js'], {
      cwd: home,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { code, stdout, stderr } = await watch(child).exit
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(
      /^gneiss: there is no native addon for (\S+) \(Node v[\d.]+\): the package @gneiss\/\1, an optional dependency of gneiss, is not installed\. [^\n]* \[ERR_NATIVE\]\n$/,
    )
  })

  test('what needs no addon is there: help, version, configuration', async () => {
    const cli = join('node_modules', 'gneiss', 'dist', 'cli.js')
    expect(await watch(node(home, [cli, '--version'])).exit).toMatchObject({ code: 0, stdout: `gneiss ${version}\n` })
    expect(await watch(node(home, [cli, '--print-config'])).exit).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('a release', () => {
  test('is refused while an addon is missing', async () => {
    const args = ['scripts/pack.mjs', '--no-build', '--release', '--out', join(folder, 'release')]
    const { code, stderr } = await watch(node(ROOT, args)).exit
    expect(code).toBe(1)
    expect(stderr).toMatch(/no addon for [\w-]+(?:, [\w-]+)*; build them and name their folder: --addons/)
    expect(stderr).toContain(`CHANGELOG.md has no section ${version}`)
  })

  test('takes no addon under the name of another system', async () => {
    const addons = folderWith({ 'gneiss.darwin-arm64.node': 'x'.repeat(100) })
    const args = ['scripts/pack.mjs', '--no-build', '--addons', addons, '--out', join(folder, 'release')]
    const { code, stderr } = await watch(node(ROOT, args)).exit
    expect(code).toBe(1)
    expect(stderr).toContain('gneiss.darwin-arm64.node is an addon for unknown')
  })

  test.each([
    ['linux-x64-gnu', elf(62, '\0GLIBC_2.17\0GLIBC_2.4\0'), '2.17'],
    ['linux-arm64-gnu', elf(183, '\0GLIBC_2.9\0GLIBC_2.28\0'), '2.28'],
    ['linux-x64-musl', elf(62, '\0libc.so\0'), undefined],
    ['linux-arm64-musl', elf(183, '\0libc.musl-aarch64.so.1\0'), undefined],
    ['unknown', elf(243, '\0GLIBC_2.27\0'), '2.27'],
    ['darwin-x64', Buffer.concat([Buffer.from('cffaedfe07000001', 'hex'), Buffer.alloc(100)]), undefined],
    ['darwin-arm64', Buffer.concat([Buffer.from('cffaedfe0c000001', 'hex'), Buffer.alloc(100)]), undefined],
    ['win32-x64-msvc', portable(0x8664), undefined],
    ['unknown', portable(0xaa64), undefined],
    ['unknown', Buffer.from('MZ'), undefined],
    ['unknown', Buffer.alloc(100), undefined],
  ])('knows an addon for %s by its bytes', (system, bytes, glibc) => {
    expect(readAddon(bytes)).toEqual({ system, glibc })
  })
})

function elf(machine: number, strings: string): Buffer {
  const head = Buffer.alloc(64)
  head.write('7f454c46', 'hex')
  head.writeUInt16LE(machine, 18)
  return Buffer.concat([head, Buffer.from(strings)])
}

function portable(machine: number): Buffer {
  const file = Buffer.alloc(256)
  file.write('MZ')
  file.writeUInt32LE(128, 0x3c)
  file.write('PE', 128)
  file.writeUInt16LE(machine, 132)
  return file
}

/** Packs what is built, and returns the paths of the tarballs. */
function pack(out: string): string[] {
  execFileSync(process.execPath, [join(ROOT, 'scripts', 'pack.mjs'), '--no-build', '--out', out], {
    env: { ...process.env, npm_execpath: NPM, npm_config_cache: join(folder, 'cache') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return readdirSync(out)
    .toSorted()
    .map((name) => join(out, name))
}

/** Installs tarballs into an empty folder with an application. */
function install(name: string, files: readonly string[]): string {
  const home = join(folder, name)
  mkdirSync(home)
  writeFileSync(join(home, 'app.js'), APP)
  execFileSync(
    process.execPath,
    [
      NPM,
      'install',
      ...files,
      // Else npm looks for a package in the folders above.
      `--prefix=${home}`,
      '--offline',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--cache',
      join(folder, 'cache'),
    ],
    { cwd: home, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] },
  )
  return home
}

async function expectToServe(running: ReturnType<typeof watch>): Promise<void> {
  const { url } = (await Promise.race([running.line('ready'), running.exit])) as { url?: string }
  if (url === undefined) throw new Error(`it ended before it was ready: ${running.output().stderr}`)
  expect((await request(url, { path: '/you' })).text).toBe('hello /you')
  running.child.kill('SIGTERM')
  const { code, stderr } = await running.exit
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const stopped = running.events().find(({ event }) => event === 'stopped')
  expect(leftGauges(stopped ?? {})).toEqual([])
}

function node(cwd: string, args: readonly string[]): ReturnType<typeof spawn> {
  return spawn(process.execPath, args, { cwd, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
}

function environment(): Record<string, string> {
  return cleanEnv({ PATH: join(folder, 'bin'), HOME: folder })
}

function npmFile(): string {
  const named = process.env['npm_execpath']
  if (named?.endsWith('.js') === true) return named
  for (const place of (process.env['PATH'] ?? '').split(delimiter)) {
    // A folder that is not there is no fault of a PATH.
    if (existsSync(place) && readdirSync(place, { withFileTypes: true }).some(({ name }) => name === 'npm'))
      return realpathSync(join(place, 'npm'))
  }
  throw new Error('npm is not on the PATH')
}

function mainTarball(): string {
  return join(folder, 'packages', `gneiss-${version}.tgz`)
}

function addonTarballs(): string[] {
  return tarballs.filter((file) => file !== mainTarball())
}

function filesOf(tarball: string): string[] {
  const list = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trimEnd().split('\n')
  return list.map((path) => path.slice('package/'.length)).toSorted()
}

function fileIn(tarball: string, path: string): string {
  return execFileSync('tar', ['-xzOf', tarball, `package/${path}`], { encoding: 'utf8' })
}

function digestOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}
