/** How isolates and processes end while connections are open: no crash, no hang, nothing left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

import { describe, expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from './harness/cli.ts'
import { RawClient } from './harness/client.ts'
import { scaled } from './harness/scale.ts'

import type { Exit } from './harness/cli.ts'

const FIXTURES = `${ROOT}__test__/fixtures/teardown/`
const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

function run(file: string, ...args: string[]): Promise<Exit> {
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  return watch(spawn(process.execPath, [FIXTURES + file, ...args], { env: cleanEnv(), stdio: [...stdio] })).exit
}

describe('an isolate that is terminated', () => {
  test.runIf(process.platform === 'linux').each(['workers', 'both'])(
    'under a storm of connections takes nothing with it, with the addon in %s',
    { timeout: 120_000 },
    async (where) => {
      const exit = await run('storm.mjs', String(scaled(10, 50)), where)
      expect(exit).toEqual({ code: 0, signal: null, stdout: 'ok\n', stderr: '' })
    },
  )

  test('under pipelined load takes nothing with it, and the image stays', { timeout: 60_000 }, async () => {
    for (let round = 0; round < scaled(8, 50); round++) {
      const worker = new Worker(new URL('./fixtures/teardown/worker.mjs', import.meta.url))
      const [{ url }] = (await once(worker, 'message')) as [{ url: string }]
      const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.connect(url)))
      for (const client of clients) void client.send(GET.repeat(50))
      await clients[0]?.read()
      await worker.terminate()
      await Promise.all(clients.map((client) => client.close()))
    }
    if (process.platform === 'linux') {
      // What runs late must not find its code gone.
      expect(readFileSync('/proc/self/maps', 'utf8')).toContain('gneiss.')
    }
  })
})

describe('a process that ends under load', () => {
  test.each([
    ['by process.exit in a handler', 'exit'],
    ['by process.exit in a microtask of one', 'microtask'],
    ['by having nothing left after close()', 'natural'],
  ])('%s ends well', async (_what, how) => {
    for (let round = 0; round < scaled(3, 50); round++) {
      expect(await run('exit.mjs', how)).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    }
  })
})
