/** The walls of the house: what ARCHITECTURE.md promises about the source, held by reading the source. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT } from './harness/cli.ts'
import { codeOf, importsOf, linesWith, sources, sourcesIn } from './harness/sources.ts'

import type { Source } from './harness/sources.ts'

const LINE_LIMIT = 400
/** Blocks and implementations; raise it in the change that needs one more, with its reason. */
const UNSAFE_LIMIT = 105
const GENERATED = new Set([
  'src/native/addon.d.mts',
  'docs/errors.md',
  'docs/hardening.md',
  'docs/options.md',
  'schema.json',
  'package-lock.json',
  'Cargo.lock',
])

const typescript = sourcesIn('src', '.ts')
const core = sourcesIn('crates/core/src', '.rs')
const border = sourcesIn('crates/node/src', '.rs')
const written = sources.filter(({ path }) => !GENERATED.has(path))

/** Floors of `src`: a module imports what runs from floors below its own only. Types may come from anywhere. */
const FLOORS: readonly (readonly string[])[] = [
  ['abandoned', 'background', 'clock', 'errors', 'hooks', 'log', 'output', 'protocol', 'suggest', 'waiter'],
  [
    'allowance',
    'banner',
    'bridge',
    'detect',
    'error-log',
    'failure',
    'header-pairs',
    'header-text',
    'lifespan',
    'native',
    'options',
  ],
  ['define', 'exchange', 'loader', 'scope'],
  ['request-id'],
  ['config', 'dispatch', 'draining', 'lifecycle'],
  ['asgi', 'fetch', 'rsgi'],
  ['server'],
  ['workers'],
  ['alone'],
  ['application'],
  ['cli', 'index', 'streaming'],
  ['worker'],
]

describe('who may know whom in TypeScript', () => {
  test('every module of src has a floor', () => {
    const known = new Set(FLOORS.flat())
    expect(typescript.map(moduleOf).filter((name) => !known.has(name))).toEqual([])
  })

  test('a module imports what runs from lower floors only', () => {
    const floors = new Map(FLOORS.flatMap((names, floor) => names.map((name) => [name, floor] as const)))
    const climbing = typescript.flatMap((source) =>
      importsOf(source)
        .filter(({ isType, target }) => !isType && target.startsWith('src/'))
        .map(({ target }) => [moduleOf(source), moduleOf({ path: target })] as const)
        .filter(([from, to]) => from !== to && (floors.get(to) ?? Infinity) >= (floors.get(from) ?? -1))
        .map(([from, to]) => `${from} imports ${to}`),
    )
    expect(climbing).toEqual([])
  })

  test('only native.ts names the addon', () => {
    expect(pathsWith(typescript, /from '\..*\/binding\.ts'/)).toEqual(['src/native.ts'])
    expect(pathsWith(typescript, /\bdlopen\b/)).toEqual(['src/native/binding.ts'])
  })

  test('only exchange.ts calls the addon for a request, and only servers, masters and workers its other calls', () => {
    const users = typescript.filter((source) => importsOf(source).some(({ names }) => names.includes('native')))
    const others = users.map(({ path }) => path).filter((path) => !path.startsWith('src/workers/'))
    expect(others.toSorted()).toEqual(['src/alone.ts', 'src/exchange.ts', 'src/server.ts', 'src/worker/run.ts'])
  })

  test('nobody imports the index or the program', () => {
    const tops = ['src/index.ts', 'src/cli.ts']
    expect(typescript.filter((source) => importsOf(source).some(({ target }) => tops.includes(target)))).toEqual([])
  })

  test('the protocol is types only', () => {
    const protocol = typescript.filter(({ path }) => path === 'src/protocol.ts')
    expect(protocol.flatMap(importsOf).filter(({ isType }) => !isType)).toEqual([])
    expect(protocol.map(({ text }) => codeOf(text).match(/^export (?!interface|type)/m))).toEqual([null])
  })

  test('the package needs no other package to run', () => {
    const foreign = typescript.flatMap((source) =>
      importsOf(source).filter(({ target }) => !target.startsWith('node:') && !target.startsWith('src/')),
    )
    // The optional peer: the loader asks for it and explains what to do when it is absent.
    expect(foreign.map(({ target }) => target).filter((target) => target !== 'oxc-transform')).toEqual([])
  })

  test('no regular expression runs in the modules that see request data', () => {
    const path = ['exchange', 'dispatch', 'scope', 'streaming', 'asgi', 'rsgi', 'fetch']
    const seeing = typescript.filter((source) => path.includes(moduleOf(source)))
    const literal = /(?:^|[=>(,:;!&|?{}[]|\breturn)\s*\/[^/\s*]/m
    const uses = /\bRegExp\b|\.(?:match|matchAll|search)\(/
    expect(seeing.length).toBeGreaterThanOrEqual(path.length)
    expect(seeing.filter(({ text }) => literal.test(codeOf(text)) || uses.test(codeOf(text)))).toEqual([])
  })

  test('every export says what it is', () => {
    const silent = typescript.flatMap(({ path, lines }) =>
      lines.flatMap((line, index) => {
        const isDeclaration = /^export (?:async )?(?:function|class|const|interface|type|abstract) ?[\w*]/.test(line)
        return isDeclaration && !(lines[index - 1] ?? '').endsWith('*/') ? [`${path}:${index + 1}`] : []
      }),
    )
    expect(silent).toEqual([])
  })
})

describe('who may know whom in Rust', () => {
  test('the code of the engine names neither Node nor its parts', () => {
    const foreign = /napi|nodejs|libuv|uv_|javascript|promise|isolate/i
    // Its cases are what the engine must not say, and are compiled only to be refused.
    const told = core.filter(({ path }) => !path.endsWith('/must_not_compile.rs'))
    const named = told.filter(({ text }) => foreign.test(text.replaceAll(/\/\/[^\n]*/g, '')))
    expect(named.map(({ path }) => path)).toEqual([])
  })

  test('the engine forbids unsafe', () => {
    expect(core.find(({ path }) => path.endsWith('/lib.rs'))?.text).toContain('#![forbid(unsafe_code)]')
  })

  test('the codec knows bytes, configuration and exchanges, and no socket, thread or lane', () => {
    const codec = core.filter(({ path }) => path.startsWith('crates/core/src/http1'))
    // What is noted of a request, and whether it is taken, are data to the codec as well. Memory is bytes.
    const data = ['access', 'config', 'counters', 'exchange', 'error', 'http1', 'overload', 'refusals', 'trusted']
    const allowed = new Set([...data, 'growth'])
    const known = codec.flatMap((source) => usesOf(source, 'crate').map((name) => `${source.path}: ${name}`))
    expect(known.filter((entry) => !allowed.has(entry.split(': ')[1] ?? ''))).toEqual([])
    expect(pathsWith(codec, /\b(?:socket2|std::os|std::thread|Tcp\w+|Udp\w+|Unix\w+)\b/)).toEqual([])
  })

  test('the border sees only what the front door of the engine shows', () => {
    const inner = border.flatMap((source) =>
      linesWith(source, /gneiss_core::[a-z_]\w*::/).map((line) => `${source.path}:${line}`),
    )
    expect(inner).toEqual([])
    expect(pathsWith(border, /\b(?:hyper|tokio)\b/)).toEqual([])
  })

  test('the dependencies of the engine hold nothing of Node', () => {
    expect(crateTree('gneiss-core').filter((name) => /^(?:napi|libloading|ctor$)/.test(name))).toEqual([])
  })

  test('only the threaded driver names the runtime, and only its own crate depends on it', () => {
    expect(pathsWith(core, /\btokio::/).filter((path) => !path.startsWith('crates/core/src/thread/'))).toEqual([])
    const manifest = fileOf('crates/node/Cargo.toml').text
    expect(manifest).not.toMatch(/^tokio/m)
  })

  test('the border depends on no second HTTP implementation', () => {
    expect(crateTree('gneiss-node').filter((name) => /^(?:hyper|h2$|http$)/.test(name))).toEqual([])
  })
})

describe('unsafe', () => {
  const blocks = border.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (/\bunsafe (?:\{|impl\b)/.test(line) ? [{ path, index, lines }] : [])),
  )

  test('has two addresses: the wrappers of Node-API and of libuv', () => {
    const code = border.filter(({ text }) => /\bunsafe\b(?!_)/.test(text.replaceAll(/\/\/[^\n]*/g, '')))
    const named = /^crates\/node\/src\/(?:sys|uv)(?:\/|\.rs$)/
    expect(code.map(({ path }) => path).filter((path) => !named.test(path))).toEqual([])
    expect(code.length).toBeGreaterThan(0)
  })

  test('has a reason at each place', () => {
    const bare = blocks.filter(({ index, lines }) => {
      const above = lines.slice(Math.max(0, index - 6), index).join('\n')
      const reason = above.slice(above.lastIndexOf('// SAFETY: ') + '// SAFETY: '.length)
      return !above.includes('// SAFETY: ') || reason.length < 20
    })
    expect(bare.map(({ path, index }) => `${path}:${index + 1}`)).toEqual([])
  })

  test(`has at most ${UNSAFE_LIMIT} places: a new one is a decision`, () => {
    expect(blocks.length).toBeLessThanOrEqual(UNSAFE_LIMIT)
    expect(blocks.length).toBeGreaterThan(0)
  })
})

describe('files', () => {
  test(`none has more than ${LINE_LIMIT} lines`, () => {
    const code = written.filter(({ path }) => /\.(?:rs|ts|[cm]?js)$/.test(path))
    const long = code.filter(({ lines }) => lines.length > LINE_LIMIT + 1)
    expect(long.map(({ path, lines }) => `${path}: ${lines.length - 1}`)).toEqual([])
  })

  test('each module of src and of the crates has its line in ARCHITECTURE.md, and each line its module', () => {
    const map = fileOf('ARCHITECTURE.md').text
    const drawn = new Set(Array.from(map.matchAll(/[\w/-]+\.(?:rs|ts)\b/g), ([name]) => name))
    const modules = [...typescript, ...core, ...border]
      .map(({ path }) => path.slice(path.indexOf('src/') + 'src/'.length))
      .filter((name) => !name.endsWith('_tests.rs'))
    expect(modules.filter((name) => !drawn.has(name))).toEqual([])
    const known = new Set([...modules, 'spec.ts'])
    expect([...drawn].filter((name) => !known.has(name))).toEqual([])
  })

  test('none is called after nothing', () => {
    const empty = new Set(['utils', 'util', 'helpers', 'helper', 'common', 'misc', 'shared'])
    expect(sources.filter(({ path }) => path.split('/').some((part) => empty.has(part.split('.')[0] ?? '')))).toEqual(
      [],
    )
  })

  test('none names a machine or a registry', () => {
    const machine = /(?<![\w.@*-])\/(?:home|root|Users|work)\/|\bregistry\.[\w-]+\.\w|\bnpmjs\.org\b/
    const found = written.filter(({ path }) => path !== '__test__/tidy.spec.ts')
    expect(found.flatMap((source) => linesWith(source, machine).map((line) => `${source.path}:${line}`))).toEqual([])
  })

  test('the lock files name no host but the public index of crates', () => {
    expect(
      linesWith(fileOf('package-lock.json'), /https?:\/\/(?!opencollective|github\.com\/sponsors|tidelift)\S*\.tgz/),
    ).toEqual([])
    const odd = linesWith(
      fileOf('Cargo.lock'),
      /^source = (?!"registry\+https:\/\/github\.com\/rust-lang\/crates\.io-index")/,
    )
    expect(odd).toEqual([])
  })

  test('the package has no dependency that npm installs by itself and runs nothing when it is installed', () => {
    const manifest = JSON.parse(fileOf('package.json').text) as Record<string, Record<string, string> | undefined>
    expect(manifest.dependencies).toBeUndefined()
    expect(Object.keys(manifest.optionalDependencies ?? {}).filter((name) => !name.startsWith('@gneiss/'))).toEqual([])
    const hooks = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare']
    expect(Object.keys(manifest.scripts ?? {}).filter((name) => hooks.includes(name))).toEqual([])
  })

  test('a test that the documentation names by its title is there', () => {
    const rows = Array.from(
      readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8').matchAll(/\| `(__test__\/[^`]+)` +\| `([^`]+)` +\|/g),
    )
    expect(rows.length).toBeGreaterThan(25)
    const missing = rows.filter(
      ([, spec, title]) => !readFileSync(join(ROOT, String(spec)), 'utf8').includes(String(title)),
    )
    expect(missing.map(([row]) => row)).toEqual([])
  })

  test('specs start servers through the harness, which checks what they leave behind', () => {
    const direct = sourcesIn('__test__', '.spec.ts').filter((source) =>
      importsOf(source).some(({ target, names }) => target.startsWith('dist/') && names.includes('serve')),
    )
    expect(direct.map(({ path }) => path)).toEqual([])
  })
})

/** `src/fetch.ts` and `src/fetch/body.ts` are both `fetch`: a folder is one module to the others. */
function moduleOf({ path }: Pick<Source, 'path'>): string {
  const [, first = ''] = path.split('/')
  return posix.basename(first, '.ts')
}

function pathsWith(among: readonly Source[], pattern: RegExp): string[] {
  return among.filter((source) => linesWith(source, pattern).length > 0).map(({ path }) => path)
}

function fileOf(path: string): Source {
  const found = sources.find((source) => source.path === path)
  if (found === undefined) throw new Error(`${path} is missing`)
  return found
}

/** First path segments after `root::` in the `use` lines of a Rust file. */
function usesOf({ text }: Source, root: string): string[] {
  return Array.from(text.matchAll(new RegExp(`\\b${root}::(?:\\{([^}]*)\\}|(\\w+))`, 'g')), ([, group, name]) =>
    group === undefined ? [name ?? ''] : group.split(',').map((part) => part.trim().split('::')[0] ?? ''),
  )
    .flat()
    .filter((name) => name !== '')
}

/** Names of everything a crate is built from. */
function crateTree(name: string): string[] {
  const args = [
    'tree',
    '--package',
    name,
    '--edges',
    'normal,build',
    '--prefix',
    'none',
    '--format',
    '{lib}',
    '--locked',
  ]
  // What cargo says on stderr while somebody else builds is nobody's fault.
  const names = execFileSync('cargo', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    .split('\n')
    .filter((line) => line !== '')
  if (!names.includes(name.replace('-', '_'))) throw new Error(`cargo tree of ${name} does not name it`)
  return names
}
