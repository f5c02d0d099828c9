/**
 * One server in a process of its own, from its start to its end.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

import { ROOT } from './servers.mjs'

const START_LIMIT = 15_000
const STOP_LIMIT = 10_000

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => process.exit(code))

/** Ends what a failed sample has left running. */
export async function killServers() {
  await Promise.all(
    Array.from(running, (child) => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      return ended
    }),
  )
}

/** A running server: `pid`, `port` and `startedAt` (`performance.now()` just before it was spawned). */
export class ServerProcess {
  #child
  #errors = ''
  #isOurs
  #name
  #output = ''

  /** Starts `server` (an entry of `SERVERS`) with one application on a free port; settles when it accepts. */
  static async start(server, app, flags = {}) {
    const started = await ServerProcess.spawn(server, app, flags)
    await started.#retry((port) => connected(port))
    return started
  }

  /** Starts it without waiting: for measuring the start itself. */
  static async spawn(server, app, flags = {}) {
    return new ServerProcess(server, app, await freePort(), flags)
  }

  /** `flags.node` are given to `node`, `flags.gneiss` to the command line of gneiss. */
  constructor(server, app, port, { node = [], gneiss = [] }) {
    this.port = port
    this.#name = `${server.name} (${app})`
    this.#isOurs = server.isOurs === true
    this.startedAt = performance.now()
    this.#child = spawn(process.execPath, [...node, ...server.command(app, port), ...(server.isOurs ? gneiss : [])], {
      cwd: ROOT,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.pid = this.#child.pid
    running.add(this.#child)
    this.#child.once('exit', () => running.delete(this.#child))
    this.#child.stdout.setEncoding('utf8').on('data', (text) => {
      this.#output = (this.#output + text).slice(-4000)
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-4000)
    })
  }

  /** Settles with `performance.now()` at the first complete answer. */
  async firstAnswer() {
    await this.#retry((port) => answered(port))
    return performance.now()
  }

  /** An error that names the server and carries what it last wrote to stderr. */
  failure(what) {
    return new Error(`${this.#name}: ${what}${this.#errors === '' ? '' : `\n${this.#errors.trimEnd()}`}`)
  }

  /**
   * Asks it to end and waits; a server that does not end, or had ended by itself, is an error. So is one of ours that
   * says in its last line that it has left anything behind.
   */
  async stop() {
    if (this.#hasEnded) throw this.failure(`ended by itself (${this.#child.exitCode ?? this.#child.signalCode})`)
    const ended = once(this.#child, 'close')
    this.#child.kill('SIGTERM')
    const late = await Promise.race([ended.then(() => false), delay(STOP_LIMIT, true, { ref: false })])
    if (!late) {
      if (this.#isOurs) this.#checkGauges()
      return
    }
    this.#child.kill('SIGKILL')
    throw this.failure(`was still there ${STOP_LIMIT / 1000} s after SIGTERM`)
  }

  #checkGauges() {
    const line = this.#output.split('\n').find((text) => text.startsWith('{"event":"stopped"'))
    if (line === undefined) throw this.failure('did not say that it has stopped')
    const numbers = Object.entries(JSON.parse(line)).filter(([, value]) => typeof value === 'number' && value !== 0)
    const left = numbers.filter(([name]) => name === 'panicsTotal' || !name.endsWith('Total'))
    if (left.length > 0) throw this.failure(`has left behind: ${JSON.stringify(Object.fromEntries(left))}`)
  }

  get #hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async #retry(attempt) {
    while (!(await attempt(this.port))) {
      if (this.#hasEnded) throw this.failure('ended before it listened')
      if (performance.now() - this.startedAt > START_LIMIT) throw this.failure('did not listen in time')
      // Nothing announces that another process listens; a short pause leaves it the processor.
      await delay(1)
    }
  }
}

/**
 * Without what Node reads at each of its starts: a shell that names a bundle of certificates would make all starts long,
 * and so alike.
 */
function environment() {
  const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...kept } = process.env
  return { ...kept, NODE_ENV: 'production' }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}

function connected(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function answered(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'))
    let text = ''
    socket.setEncoding('latin1').on('data', (piece) => {
      text += piece
      if (!text.endsWith('Hello, World!')) return
      socket.destroy()
      resolve(text.startsWith('HTTP/1.1 200 '))
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}
