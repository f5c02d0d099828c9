/** What the program says on stdout when it serves and when it has stopped. */

import type { LoadedApp } from './loader.ts'
import type { Server } from './server/types.ts'

/** What there is to say about a server that is ready. */
export interface Ready {
  readonly server: Server
  readonly loaded: LoadedApp
  /** Milliseconds since the process was started. */
  readonly readyMs: number
}

/** For people: where, what, how. `hasColors` is false when the terminal has none or nobody wants them. */
export function formatBanner({ server, loaded, readyMs }: Ready, hasColors: boolean): string {
  const bold = (text: string): string => (hasColors ? `\x1b[1m${text}\x1b[22m` : text)
  const dim = (text: string): string => (hasColors ? `\x1b[2m${text}\x1b[22m` : text)
  const [, ...others] = server.addresses
  const more = others.map(({ host, port, family }) =>
    family === 'unix' ? `unix:${host}` : `${family === 'IPv6' ? `[${host}]` : host}:${port}`,
  )
  return [
    `${bold('gneiss')} serves ${bold([server.url, ...more].join(', '))}`,
    dim(`  ${loaded.interface}, ${loaded.why}`),
    dim(`  ${String(server.stats().mode)} mode, pid ${process.pid}, ready in ${readyMs} ms`),
    '',
  ].join('\n')
}

/** For programs: the same in one line of JSON. */
export function formatReady({ server, loaded, readyMs }: Ready): string {
  const { url, addresses } = server
  const { interface: name, why } = loaded
  const { mode } = server.stats()
  return `${JSON.stringify({ event: 'ready', url, addresses, interface: name, why, mode, pid: process.pid, readyMs })}\n`
}

/** For programs: the last numbers of a server, in one line of JSON. */
export function formatStopped(server: Server): string {
  return `${JSON.stringify({ event: 'stopped', ...server.stats() })}\n`
}
