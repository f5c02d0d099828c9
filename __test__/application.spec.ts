/** The server as an object, in programs of its own. */
import { spawn } from 'node:child_process'
import { pathToFileURL } from 'node:url'

import { describe, expect, test } from 'vitest'

import { Application } from '../dist/index.js'
import { ROOT, childrenOf, cleanEnv, watch } from './harness/cli.ts'
import { request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { expectLog } from './harness/logs.ts'
import { onTeardown } from './harness/teardown.ts'

import type { ChildProcess } from 'node:child_process'

const INDEX = pathToFileURL(`${ROOT}dist/index.js`).href

/** A program whose class makes its application in code. */
const PROGRAM = `import { Application } from '${INDEX}'
export class Shop extends Application {
  init(options, args) { return { keepAlive: 7, ...(args.includes('--name') ? { workers: 3 } : {}) } }
  async load() {
    const { keepAlive } = await this.loadConfig()
    return (request) => new Response(process.pid + ':' + keepAlive)
  }
}
const [workers, ...args] = process.argv.slice(2)
process.exitCode = await new Shop({ module: import.meta.url, bind: '127.0.0.1:0', workers: Number(workers), args }).run()
console.log('after')
`

function runProgram(
  text: string,
  args: readonly string[],
  files: Readonly<Record<string, string>> = {},
): ReturnType<typeof watch> & { child: ChildProcess } {
  const folder = folderWith({ ...files, 'shop.mjs': text })
  const child = spawn(process.execPath, [`${folder}/shop.mjs`, ...args], {
    cwd: folder,
    env: cleanEnv(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { ...watch(child), child }
}

describe('an application made in code', () => {
  test('is served by as many workers as it says, and the program goes on when they are gone', async () => {
    const { child, line, exit } = runProgram(PROGRAM, ['2'])
    onTeardown('processes', () => void child.kill('SIGTERM'))
    const { url, workers } = await line('ready')
    expect(workers).toBe(2)
    const [pid, keepAlive] = (await request(String(url))).text.split(':')
    expect(keepAlive).toBe('7')
    expect(childrenOf(child.pid)).toContain(Number(pid))
    child.kill('SIGTERM')
    const { code, stdout, stderr } = await exit
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('after')
    expect(stdout.split('after')).toHaveLength(2)
  })

  test('hears of arguments, and the command line is above what it says', async () => {
    const { child, line, exit } = runProgram(PROGRAM, ['1', '--name', 'shop', '--keep-alive', '9'])
    onTeardown('processes', () => void child.kill('SIGTERM'))
    const { url, workers } = await line('ready')
    expect(workers).toBe(3)
    expect((await request(String(url))).text.split(':')[1]).toBe('9')
    child.kill('SIGTERM')
    expect((await exit).code).toBe(0)
  })

  test('is served in the process itself without workers', async () => {
    const config = "export const whenReady = () => process.kill(process.pid, 'SIGTERM')"
    const { exit } = runProgram(PROGRAM, ['0'], { 'gneiss.config.mjs': config })
    expect(await exit).toMatchObject({ code: 0, stdout: 'after\n', stderr: '' })
  })

  test('keeps a pid file and calls the hooks of its configuration file without workers, too', async () => {
    const text = PROGRAM.replace(
      'async load() {',
      `async load() {
    const { readFileSync } = await import('node:fs')
    console.log(Number(readFileSync('shop.pid', 'utf8')) === process.pid, process.title)`,
    )
    const config = `export const whenReady = ({ addresses }) => {
      console.log('ready', addresses.length)
      process.kill(process.pid, 'SIGTERM')
    }`
    const { exit } = runProgram(text, ['0', '--pid', 'shop.pid', '--workers', '0'], { 'gneiss.config.mjs': config })
    const stdout = 'true gneiss: [gneiss]\nready 1\nafter\n'
    expect(await exit).toMatchObject({ code: 0, stdout, stderr: '' })
  })

  test('that no other process can import is refused with 2', async () => {
    const text = PROGRAM.replace('module: import.meta.url, ', '')
    const { code, stderr } = await runProgram(text, ['1']).exit
    expect(code).toBe(2)
    expect(stderr).toMatch(/^gneiss: workers need an application that another process can import: .* \[ERR_OPTION\]\n$/)
  })

  test('that fails to load ends with 4', async () => {
    const text = PROGRAM.replace('async load() {', "async load() {\n    throw new Error('no database')")
    const { code, stdout, stderr } = await runProgram(text, ['2']).exit
    expect({ code, stdout }).toEqual({ code: 4, stdout: 'after\n' })
    expect(stderr).toMatch(/^gneiss: load of .*shop\.mjs failed: Error: no database \[ERR_APP\]\n/)
  })
})

test('run turns what is wrong into an exit code and never throws', async () => {
  expectLog(/^gneiss: backlog in the program is -1; it must be/)
  expect(await new Application({ backlog: -1 }).run()).toBe(2)
})

test('reload says that it is not available', async () => {
  expect(await new Application().reload()).toMatchObject({ isDone: false })
})
