/** The packages of the addon, one a system: their manifests say the same as the main one and as the loader. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT } from './harness/cli.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly engines: { readonly node: string }
  readonly napi: { readonly targets: readonly string[] }
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** What each of the compiler's targets is for npm; a new target has to be described here. */
const SYSTEMS: Readonly<Record<string, { name: string; os: string; cpu: string; libc?: string }>> = {
  'x86_64-unknown-linux-gnu': { name: 'linux-x64-gnu', os: 'linux', cpu: 'x64', libc: 'glibc' },
  'aarch64-unknown-linux-gnu': { name: 'linux-arm64-gnu', os: 'linux', cpu: 'arm64', libc: 'glibc' },
  'x86_64-unknown-linux-musl': { name: 'linux-x64-musl', os: 'linux', cpu: 'x64', libc: 'musl' },
  'aarch64-unknown-linux-musl': { name: 'linux-arm64-musl', os: 'linux', cpu: 'arm64', libc: 'musl' },
  'x86_64-apple-darwin': { name: 'darwin-x64', os: 'darwin', cpu: 'x64' },
  'aarch64-apple-darwin': { name: 'darwin-arm64', os: 'darwin', cpu: 'arm64' },
  'x86_64-pc-windows-msvc': { name: 'win32-x64-msvc', os: 'win32', cpu: 'x64' },
}

const main = read('package.json') as Manifest
const { targets } = main.napi

describe('the packages of the addon', () => {
  test('are those of the targets, each in its folder', () => {
    const folders = readdirSync(join(ROOT, 'npm'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    expect(targets.toSorted()).toEqual(Object.keys(SYSTEMS).toSorted())
    expect(folders.map(({ name }) => name).toSorted()).toEqual(targets.map(nameOf).toSorted())
  })

  test('are those that the loader knows', () => {
    const [, list = ''] =
      /const PUBLISHED = \[([^\]]*)\]/.exec(readFileSync(join(ROOT, 'src/native/binding.ts'), 'utf8')) ?? []
    expect(Array.from(list.matchAll(/'([^']+)'/g), ([, name]) => name)).toEqual(targets.map(nameOf))
  })

  test.each(targets)('%s is installed where it runs, and nowhere else', (target) => {
    const { name, os, cpu, libc } = SYSTEMS[target] as (typeof SYSTEMS)[string]
    const { description, ...manifest } = read(`npm/${name}/package.json`) as Manifest & { description: string }
    expect(manifest).toEqual({
      name: `@gneiss/${name}`,
      version: main.version,
      license: main.license,
      os: [os],
      cpu: [cpu],
      ...(libc === undefined ? {} : { libc: [libc] }),
      main: `gneiss.${name}.node`,
      files: [`gneiss.${name}.node`],
      engines: main.engines,
    })
    expect(description).toMatch(/^The native addon of gneiss for \w/)
    expect(readFileSync(join(ROOT, 'npm', name, 'README.md'), 'utf8')).toContain(`# @gneiss/${name}\n`)
  })

  test('have the version of the crates', () => {
    const [, version] = /^\[workspace\.package\]\nversion = "([^"]+)"/m.exec(text('Cargo.toml')) ?? []
    expect(version).toBe(main.version)
  })

  // A lock file cannot hold packages that are not published, and `npm ci` refuses one that does not.
  test('are dependencies of the packed manifest alone, because a checkout is installed before they are published', () => {
    expect(main.optionalDependencies).toBeUndefined()
    expect(text('package-lock.json')).not.toContain('@gneiss/')
  })
})

function nameOf(target: string): string | undefined {
  return SYSTEMS[target]?.name
}

function text(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

function read(path: string): unknown {
  return JSON.parse(text(path)) as unknown
}
