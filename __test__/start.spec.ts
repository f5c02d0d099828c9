/** `npm start` as a user types it: it serves, and the signal that ends the command ends the server. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { leftGauges } from './harness/gauges.ts'

const BIND = ['--bind', '127.0.0.1:0']
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { start: string } }

test.each([
  ['npm', 'npm', ['start', '--', ...BIND]],
  ['a plain shell', 'sh', ['-c', `${scripts.start} ${BIND.join(' ')}`]],
])('SIGTERM to %s that runs the start script ends the server as well', async (_what, command, args) => {
  // The smoke runs this with another Node: what the script calls `node` has to be this one.
  const path = `${join(process.execPath, '..')}:${process.env.PATH ?? ''}`
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...cleanEnv(), PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const running = watch(child)
  const { url } = await running.line('ready')
  const answer = await request(String(url), { path: '/hello/you' })
  expect(JSON.parse(answer.text)).toMatchObject({ hello: 'you' })

  child.kill('SIGTERM')
  // The pipes close when the last process that holds them has ended: the server's own end is in this.
  await running.exit
  const stopped = running.events().find(({ event }) => event === 'stopped')
  expect(leftGauges(stopped ?? {})).toEqual([])
  await expect(RawClient.connect(String(url))).rejects.toThrow('ECONNREFUSED')
})
