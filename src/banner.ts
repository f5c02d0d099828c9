/** What the program says on stdout when it serves and when it has stopped. */
import { outlets } from './output.ts'

import type { NativeAddress } from './native.ts'
import type { InterfaceName } from './protocol.ts'

/** What there is to say about a server that is ready. */
export interface Ready {
  readonly url: string
  readonly addresses: readonly Readonly<NativeAddress>[]
  readonly interface: InterfaceName
  /** Why this interface: a clause that begins with `because`. */
  readonly why: string
  readonly mode: string
  /** Milliseconds since the process was started. */
  readonly readyMs: number
  /** Of a master: how many workers are ready, and how many there should be. */
  readonly workers?: { readonly ready: number; readonly wanted: number }
}

/** Says on stdout that the server is ready, as whoever reads there wants it. */
export function printReady(server: Omit<Ready, 'readyMs'>): void {
  const { stdout } = outlets()
  const ready = { ...server, readyMs: Math.round(process.uptime() * 1000) }
  const hasColors = (): boolean => !process.env['NO_COLOR'] && stdout.hasColors?.() === true
  stdout.write(stdout.isTTY ? formatBanner(ready, hasColors()) : formatReady(ready))
}

/** Says the last numbers on stdout, unless a person reads there. */
export function printStopped(stats: Readonly<Record<string, number | string>>): void {
  const { stdout } = outlets()
  if (!stdout.isTTY) stdout.write(formatStopped(stats))
}

/** For people: where, what, how. `hasColors` is false when the terminal has none or nobody wants them. */
export function formatBanner(ready: Ready, hasColors: boolean): string {
  const bold = (text: string): string => (hasColors ? `\x1b[1m${text}\x1b[22m` : text)
  const dim = (text: string): string => (hasColors ? `\x1b[2m${text}\x1b[22m` : text)
  const [, ...others] = ready.addresses
  const more = others.map(({ host, port, family }) =>
    family === 'unix' ? `unix:${host}` : `${family === 'IPv6' ? `[${host}]` : host}:${port}`,
  )
  return [
    `${bold('gneiss')} serves ${bold([ready.url, ...more].join(', '))}`,
    dim(`  ${ready.interface}, ${ready.why}`),
    dim(`  ${workersOf(ready)}${ready.mode} mode, pid ${process.pid}, ready in ${ready.readyMs} ms`),
    '',
  ].join('\n')
}

/** For programs: the same in one line of JSON. */
function formatReady({ url, addresses, interface: name, why, mode, readyMs, workers }: Ready): string {
  const { pid } = process
  return `${JSON.stringify({ event: 'ready', url, addresses, interface: name, why, mode, pid, readyMs, workers: workers?.ready })}\n`
}

/** For programs: the last numbers of a server, in one line of JSON. */
function formatStopped(stats: Readonly<Record<string, number | string>>): string {
  return `${JSON.stringify({ event: 'stopped', ...stats })}\n`
}

function workersOf({ workers }: Ready): string {
  if (workers === undefined) return ''
  const { ready, wanted } = workers
  return `${ready === wanted ? ready : `${ready} of ${wanted}`} ready ${wanted === 1 ? 'worker' : 'workers'}, `
}
