/** The environment as two layers: what platforms set for any program, and what is meant for gneiss. */
import { isIP, isIPv6 } from 'node:net'

import { OPTION_KEYS, entryOf, environmentNameOf } from '../options.ts'
import { suggestionOf } from '../suggest.ts'

import type { OptionKey } from '../options.ts'
import type { Layer, Setting } from './resolve.ts'

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Number of the first descriptor that a service manager hands down. */
const FIRST_DESCRIPTOR = 3

/**
 * `LISTEN_FDS`, `PORT`, `HOST`, `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS`: just above the defaults. Sockets of a
 * service manager count only if `LISTEN_PID` is this process, and come before `PORT`. `HOST` without `PORT` counts only if
 * it is an address or localhost, because some shells export the machine's name under it.
 */
export function layerOfPlatform(environment: Environment, pid: number = process.pid): Layer {
  const settings = new Map<OptionKey, Setting>()
  const { PORT: port, HOST: host, WEB_CONCURRENCY: workers, FORWARDED_ALLOW_IPS: peers } = environment
  const count = Number(environment['LISTEN_PID']) === pid ? Number(environment['LISTEN_FDS']) : 0
  if (Number.isInteger(count) && count > 0 && count < 1000) {
    const value = Array.from({ length: count }, (_, index) => `fd://${FIRST_DESCRIPTOR + index}`)
    settings.set('bind', { value, origin: { kind: 'environment', name: 'LISTEN_FDS' } })
  } else if (port) {
    settings.set('bind', { value: joinAddress(host || '0.0.0.0', port), origin: { kind: 'environment', name: 'PORT' } })
  } else if (host && (isIP(host) !== 0 || host === 'localhost')) {
    settings.set('bind', { value: joinAddress(host, '8000'), origin: { kind: 'environment', name: 'HOST' } })
  }
  if (peers) {
    const origin = { kind: 'environment', name: 'FORWARDED_ALLOW_IPS' } as const
    settings.set('forwardedAllowIps', { value: peers, origin })
  }
  if (workers) settings.set('workers', { value: workers, origin: { kind: 'environment', name: 'WEB_CONCURRENCY' } })
  return { settings, warnings: [] }
}

/** `GNEISS_*`: an empty value is unset, a list is separated by commas, an unknown name is a warning. */
export function layerOfEnvironment(environment: Environment): Layer {
  const settings = new Map<OptionKey, Setting>()
  const warnings: string[] = []
  let keys: ReadonlyMap<string, OptionKey> | undefined
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('GNEISS_') || !value) continue
    // Made when it is needed, which it seldom is.
    keys ??= new Map(OPTION_KEYS.map((option) => [environmentNameOf(option), option]))
    const key = keys.get(name)
    if (key === undefined) {
      warnings.push(`unknown environment variable ${name}${suggestionOf(name, keys.keys())}`)
      continue
    }
    settings.set(key, {
      value: entryOf(key).repeatable === true ? splitList(value) : value,
      origin: { kind: 'environment', name },
    })
  }
  return { settings, warnings }
}

function joinAddress(host: string, port: string): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
