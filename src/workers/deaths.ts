/** Why a worker is gone, and the line that says so. */
import { readSystemFile } from '../options/system-file.ts'

import type { ExitReason } from './protocol.ts'

/** What is known of a worker that is gone, or about to be. */
export interface Death {
  readonly number: number
  readonly pid: number
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly reason: ExitReason
  /** Milliseconds. */
  readonly uptime: number
  /** Requests that were open when its loop last went to wait. */
  readonly inflight: number
  readonly wasReady: boolean
  /** It has accepted a connection, or passed its health probe. */
  readonly hasProved: boolean
  /** Milliseconds for which its loop had not waited for events; 0 for one that was idle. */
  readonly busy: number
}

/** What follows from it. */
export interface Consequence {
  /** Milliseconds until its successor is started; undefined when there will be none. */
  readonly delay: number | undefined
  /** Unplanned deaths within the last minute; undefined for a planned end. */
  readonly count: number | undefined
}

/** One line: which worker, how, why, how old, what it held, what comes. */
export function describeDeath(death: Death, { delay, count }: Consequence): string {
  const { number, pid, uptime, inflight, busy } = death
  const facts = [
    `up ${seconds(uptime)}`,
    `${inflight} ${inflight === 1 ? 'request' : 'requests'} in flight`,
    ...(busy > 1000 ? [`its loop stood still for ${seconds(busy)}`] : []),
    ...(count === undefined ? [] : [`${count} ${count === 1 ? 'death' : 'deaths'} within 60 s`]),
    ...(delay === undefined ? [] : [`next start in ${seconds(delay)}`]),
  ]
  return `worker ${number} (pid ${pid}) ${endOf(death)}: ${reasonOf(death)}; ${facts.join(', ')}`
}

function endOf({ code, signal }: Death): string {
  if (signal !== null) return `was ended by ${signal}`
  return code === null ? 'leaves' : `ended with code ${code}`
}

function reasonOf({ reason, wasReady, code }: Death): string {
  switch (reason) {
    case 'planned':
      return 'it was asked to'
    case 'failed':
      return 'it could not start'
    case 'bootTimeout':
      return 'it was not ready within bootTimeout'
    case 'uncaught':
      return 'an error of the application that nobody handled'
    case 'outOfMemory':
      return 'the control group ran out of memory'
    case 'overdue':
      return 'it did not end within gracefulTimeout'
    case 'signal':
      return 'nobody here has sent that'
    case 'exit':
      if (code === 133 || code === 134 || code === 139) return 'a fatal error of V8 or of native code; see stderr'
      return wasReady ? 'it ended without a word' : 'it ended before it was ready'
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`
}

/** How often the kernel has killed something of this control group for want of memory; undefined if it does not say. */
export function countOomKills(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const group = /^0::(.*)$/m.exec(readSystemFile('/proc/self/cgroup') ?? '')?.[1]
  for (const folder of group === undefined ? [] : [group, '']) {
    const events = readSystemFile(`/sys/fs/cgroup${folder}/memory.events`)
    const count = /^oom_kill (\d+)$/m.exec(events ?? '')?.[1]
    if (count !== undefined) return Number(count)
  }
  return undefined
}
