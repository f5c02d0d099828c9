/** Servers that a program starts and stops within itself: nothing of them is left in the process. */
import { spawn } from 'node:child_process'
import { pathToFileURL } from 'node:url'

import { expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from '../harness/cli.ts'
import { folderWith } from '../harness/folder.ts'
import { MODE } from '../harness/mode.ts'
import { scaled, timeLimit } from '../harness/scale.ts'

const INDEX = pathToFileURL(`${ROOT}dist/index.js`).href

/** What a program needs to have `round`, one turn of it, called again and again. */
const HEAD = `import { get } from 'node:http'
import { readFileSync, readdirSync } from 'node:fs'
import { Application, serve } from '${INDEX}'

const [workers, rounds, socketPath] = process.argv.slice(2)
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH']
const EVENTS = [...SIGNALS, 'SIGCHLD', 'uncaughtException', 'beforeExit', 'exit', 'disconnect', 'message']

function ask() {
  return new Promise((resolve) => {
    const request = get({ socketPath, agent: false }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode))
    })
    request.once('error', () => resolve(undefined))
  })
}
`

/** Calls it again and again, and tells what the process holds before and after. */
const LOOP = `function held() {
  return {
    handles: process.getActiveResourcesInfo().filter((name) => name !== 'Timeout').toSorted(),
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    children: readFileSync('/proc/self/task/' + process.pid + '/children', 'latin1'),
    listeners: EVENTS.map((name) => [name, process.listenerCount(name)]),
  }
}
/** Sockets of the last request, and threads that were told to end, may take a few turns more. */
async function settled(like) {
  for (let turn = 0; turn < 1000; turn++) {
    const now = held()
    if (JSON.stringify(now) === like) return now
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return held()
}
// What the process keeps for good is opened by the first rounds.
for (let warmUp = 0; warmUp < 2; warmUp++) await round()
const before = await settled('')
for (let count = 0; count < Number(rounds); count++) await round()
const after = await settled(JSON.stringify(before))
console.log(JSON.stringify({ event: 'held', before, after }))
`

/** Serves one request, then ends the `Application` by the signal that it hears. */
const APPLICATION = `${HEAD}
export class Shop extends Application {
  async load() {
    return () => new Response('hello')
  }
}
async function round() {
  const shop = new Shop({ module: import.meta.url, bind: 'unix:' + socketPath, workers: Number(workers) })
  const running = shop.run()
  while ((await ask()) !== 200) await new Promise((resolve) => setTimeout(resolve, 1))
  process.kill(process.pid, 'SIGTERM')
  const exitCode = await running
  if (exitCode !== 0) throw new Error('ended with ' + exitCode)
}
${LOOP}`

/** Serves eight requests at once, then closes the server. */
const SERVER = `${HEAD}
async function round() {
  const server = await serve(() => new Response('hello'), { bind: 'unix:' + socketPath, runtimeMode: workers })
  const statuses = await Promise.all(Array.from({ length: 8 }, ask))
  if (statuses.some((status) => status !== 200)) throw new Error(statuses.join())
  await server.close({ timeout: 1 })
}
${LOOP}`

async function expectNothingHeld(program: string, args: readonly string[]): Promise<void> {
  const folder = folderWith({ 'shop.mjs': program })
  const child = spawn(process.execPath, ['shop.mjs', ...args, `${folder}/shop.sock`], {
    cwd: folder,
    env: cleanEnv(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const { exit, events } = watch(child)
  expect(await exit).toMatchObject({ code: 0, signal: null, stderr: '' })
  const held = events().find(({ event }) => event === 'held')
  expect(held).toBeDefined()
  expect(held?.['after']).toEqual(held?.['before'])
}

test.runIf(process.platform === 'linux').each([
  ['without workers', '0', scaled(100, 1000)],
  ['with a worker', '1', scaled(10, 100)],
])(
  'an Application %s that runs again and again leaves handles, descriptors, threads and listeners at the baseline',
  async (_what, workers, rounds) => {
    await expectNothingHeld(APPLICATION, [workers, String(rounds)])
  },
  timeLimit(120_000),
)

test.runIf(process.platform === 'linux')(
  'serve and close, again and again, leave handles, descriptors, threads and listeners at the baseline',
  () => expectNothingHeld(SERVER, [MODE, String(scaled(100, 1000))]),
  timeLimit(120_000),
)
