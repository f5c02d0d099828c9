/** The most connections that the kernel lets wait for a listener. */
import { readSystemFile } from './system-file.ts'

/** `net.core.somaxconn`; undefined where the system does not tell. */
function somaxconn(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const limit = Number(readSystemFile('/proc/sys/net/core/somaxconn'))
  return Number.isInteger(limit) && limit > 0 ? limit : undefined
}

/** What to say about a backlog that somebody has asked for, when the kernel cuts it. */
export function backlogWarning(backlog: number, label: string): string | undefined {
  const limit = somaxconn()
  if (limit === undefined || backlog <= limit) return undefined
  return `${label} is ${backlog}, and the kernel cuts it to net.core.somaxconn, which is ${limit}; raise that with sysctl, or ask for no more`
}
