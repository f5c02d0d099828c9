/** A process that runs out of file descriptors: what is open goes on, and it accepts again as soon as there is room. */
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'

import { expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from './harness/cli.ts'
import { RawClient } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { leftGauges } from './harness/gauges.ts'
import { soon } from './harness/scale.ts'

const LIMIT = 64
const CLIENTS = 120

/** Processor time of a process so far, in milliseconds. */
function cpuOf(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const [user, system] = fields.split(' ').slice(11, 13).map(Number) as [number, number]
  return (user + system) * 10
}

test.runIf(process.platform === 'linux')(
  'without a free descriptor serves those who are in, does not spin, and lets the others in when some leave',
  async () => {
    const began = performance.now()
    const cwd = folderWith({ 'app.mjs': 'export default () => new Response("hello")' })
    // Its own cap would keep it from the limit, as it should.
    const flags = '--bind 127.0.0.1:0 --workers 0 --worker-connections 1000 --first-byte-timeout 60'
    const command = `ulimit -n ${LIMIT}; exec "${process.execPath}" "${ROOT}dist/cli.js" app.mjs ${flags}`
    const child = spawn('sh', ['-c', command], { cwd, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
    const running = watch(child)
    const { url } = await running.line('ready')
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(String(url))))
    const answered = new Set<RawClient>()
    const asked = clients.map(async (client) => {
      expect((await client.request()).status).toBe(200)
      answered.add(client)
    })
    const pid = child.pid as number
    while (readdirSync(`/proc/${pid}/fd`).length < LIMIT - 1) await after(10)
    const before = cpuOf(pid)
    await after(500)
    expect(cpuOf(pid) - before).toBeLessThan(100)
    // Not all of them, and those who are in are served as ever.
    expect(answered.size).toBeLessThan(CLIENTS)
    expect(answered.size).toBeGreaterThan(0)
    const inside = [...answered]
    for (const client of inside) expect((await client.request()).status).toBe(200)
    while (answered.size < CLIENTS) {
      const size = answered.size
      await Promise.all([...answered].map((client) => client.close()))
      const relieved = performance.now()
      while (answered.size === size) await after(5)
      // Ten times a backoff of 100 ms.
      expect(performance.now() - relieved).toBeLessThan(soon(1000))
    }
    await Promise.all(asked)
    await Promise.all(clients.map((client) => client.close()))
    child.kill('SIGTERM')
    const exit = await running.exit
    expect(exit.code).toBe(0)
    // A line a second, and nothing else.
    const lines = exit.stderr.split('\n').slice(0, -1)
    const said = /^\[[^\]]+\] \[\d+\] \[warn\] cannot accept a connection: Too many open files .*\btried again/
    expect(lines.filter((line) => !said.test(line))).toEqual([])
    expect(lines.length).toBeGreaterThanOrEqual(1)
    expect(lines.length).toBeLessThanOrEqual(1 + (performance.now() - began) / 1000)
    const stopped = running.events().find(({ event }) => event === 'stopped')
    expect(Number(stopped?.acceptErrorsTotal)).toBeGreaterThan(0)
    expect(leftGauges(stopped ?? {})).toEqual([])
  },
)
