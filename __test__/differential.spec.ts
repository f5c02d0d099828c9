/** The same bytes to node:http and to us: whoever hears other requests is in the ledger, with who is right. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient } from './harness/client.ts'
import { ROWS, bytesOf } from './harness/grid.ts'
import { scaled, timeLimit } from './harness/scale.ts'
import { onTeardown } from './harness/teardown.ts'

import type { RsgiAppObject } from '../dist/index.js'
import type { Target } from './harness/client.ts'

interface Atom {
  readonly part: 'before' | 'body' | 'end' | 'field' | 'host' | 'method' | 'target' | 'version'
  readonly name: string
  readonly text: string
  readonly fields?: string
}

interface Entry {
  readonly atoms: readonly string[]
  readonly kind: 'different' | 'laxer' | 'stricter'
  readonly right: string
  readonly why: string
}

/** Bytes with the names of what is odd about them. */
interface Case {
  readonly names: readonly string[]
  readonly bytes: Buffer
}

/** Who hears requests, each as one line. */
interface Hearer {
  hear(bytes: Buffer): Promise<string[]>
}

const { atoms } = readJson('atoms') as { atoms: readonly Atom[] }
const { node: ledger } = readJson('ledger') as { node: readonly Entry[] }
/** Sent behind each request: whether it is heard shows where the one before it ended. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n'
/** Every how many pairs one is sent. */
const STRIDE = scaled(11, 1)
const CONNECTIONS = 16

test(
  'node:http hears the same requests, or the ledger says why not',
  async () => {
    const [ours, theirs] = [await hearGneiss(), await hearNode()]
    const unclassified = new Map<string, string>()
    const used = new Set<Entry>()
    const cases = createCases()
    expect(cases.length).toBeGreaterThan(800)
    const workers = Array.from({ length: CONNECTIONS }, async () => {
      for (let next = cases.pop(); next !== undefined; next = cases.pop()) {
        const [mine, other] = await Promise.all([ours.hear(next.bytes), theirs.hear(next.bytes)])
        const kind = kindOf(mine, other)
        if (kind === undefined) continue
        const { names, bytes } = next
        const entry = ledger.find((row) => row.kind === kind && row.atoms.some((name) => names.includes(name)))
        if (entry !== undefined) used.add(entry)
        else unclassified.set(`${names.join(' + ')}: ${kind}`, JSON.stringify([mine, other, bytes.toString('latin1')]))
      }
    })
    await Promise.all(workers)
    const singles = [...unclassified].filter(([name]) => !name.includes(' + '))
    expect(Object.fromEntries(singles)).toEqual({})
    expect(Object.fromEntries([...unclassified].slice(0, 40))).toEqual({})
    // Releases of Node differ; what none of them shows any more is found when the ledger is read by a person.
    expect(ledger.filter(({ right, why }) => !['gneiss', 'node', 'both'].includes(right) || why.length < 20)).toEqual(
      [],
    )
    expect(used.size).toBeGreaterThan(0)
  },
  timeLimit(20_000),
)

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`grid/${name}.json`, import.meta.url), 'utf8'))
}

function createCases(): Case[] {
  const cases: Case[] = []
  let pairs = 0
  for (const [index, atom] of atoms.entries()) {
    cases.push({ names: [atom.name], bytes: compose([atom]) })
    for (const other of atoms.slice(index + 1)) {
      if (other.part === atom.part && atom.part !== 'field') continue
      if (pairs++ % STRIDE === 0) cases.push({ names: [atom.name, other.name], bytes: compose([atom, other]) })
    }
  }
  for (const { row, variants } of ROWS) {
    for (const variant of variants)
      cases.push({ names: [`row ${row}`], bytes: Buffer.concat([bytesOf(variant), Buffer.from(NEXT)]) })
  }
  return cases
}

function compose(chosen: readonly Atom[]): Buffer {
  const part = (name: Atom['part'], standard: string): string => {
    const found = chosen.filter((atom) => atom.part === name)
    return found.length === 0 ? standard : found.map(({ text }) => text).join('')
  }
  const line = `${part('method', 'GET')} ${part('target', '/')} ${part('version', 'HTTP/1.1')}${part('end', '\r\n')}`
  const fields = chosen.map((atom) => atom.fields ?? '').join('')
  const head = `${part('before', '')}${line}${part('host', 'Host: a\r\n')}${part('field', '')}${fields}\r\n`
  return Buffer.from(`${head}${part('body', '')}${NEXT}`, 'latin1')
}

function kindOf(ours: readonly string[], theirs: readonly string[]): Entry['kind'] | undefined {
  const [one, other] = [JSON.stringify(ours), JSON.stringify(theirs)]
  if (one === other) return undefined
  if (JSON.stringify(theirs.slice(0, ours.length)) === one) return 'stricter'
  return JSON.stringify(ours.slice(0, theirs.length)) === other ? 'laxer' : 'different'
}

async function hearGneiss(): Promise<Hearer> {
  const heard = new Heard()
  const app: RsgiAppObject = {
    async __rsgi__({ client, method, rawPath, queryString }, protocol) {
      const body = Buffer.from(await protocol.body()).toString('latin1')
      const target = queryString === '' ? rawPath : `${rawPath}?${queryString}`
      heard.add(Number(client.slice(client.lastIndexOf(':') + 1)), `${method} ${target} ${body}`)
      protocol.responseEmpty(200, [])
    },
  }
  const server = await serveApp(app, { interface: 'rsgi', allowHalfOpen: true })
  return { hear: (bytes) => heard.hear(server, bytes) }
}

async function hearNode(): Promise<Hearer> {
  const heard = new Heard()
  const server = createServer((incoming, answer) => {
    const pieces: Buffer[] = []
    incoming.on('data', (piece: Buffer) => pieces.push(piece))
    incoming.on('end', () => {
      const target = originOf(incoming.url ?? '')
      heard.add(
        incoming.socket.remotePort ?? 0,
        `${incoming.method} ${target} ${Buffer.concat(pieces).toString('latin1')}`,
      )
      answer.end()
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTeardown('servers', () => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { hear: (bytes) => heard.hear(url, bytes) }
}

/** What was heard on each connection, by the port of the client. */
class Heard {
  readonly #byPort = new Map<number, string[]>()

  add(port: number, line: string): void {
    this.#byPort.get(port)?.push(line)
  }

  async hear(to: Target, bytes: Buffer): Promise<string[]> {
    const client = await RawClient.connect(to)
    const { localPort = 0 } = client.socket
    const lines: string[] = []
    this.#byPort.set(localPort, lines)
    await client.send(bytes)
    await client.finish()
    await client.reader.ended
    await client.close()
    this.#byPort.delete(localPort)
    return lines
  }
}

/** The path and query of a target in absolute form; node:http hands it out as it came. */
function originOf(target: string): string {
  const at = target.indexOf('://')
  if (at < 0 || target.startsWith('/')) return target
  const rest = target.slice(at + 3)
  const path = [rest.indexOf('/'), rest.indexOf('?')].filter((index) => index >= 0)
  const tail = path.length === 0 ? '' : rest.slice(Math.min(...path))
  return tail.startsWith('/') ? tail : `/${tail}`
}
