/** What listeners that share a port ask of the addresses and of the kernel. */
import { readSystemFile } from './system-file.ts'

const MIGRATION = 'net.ipv4.tcp_migrate_req'

/** Why listeners at these addresses cannot share their ports; undefined when they can. */
export function reusePortFault(bind: readonly string[]): string | undefined {
  if (process.platform !== 'linux') return 'is only for Linux, where the kernel spreads connections; leave it out'
  const other = bind.find((text) => text.startsWith('unix:') || text.startsWith('fd://'))
  if (other === undefined) return undefined
  const why = other.startsWith('unix:') ? 'has no port' : 'was bound by somebody else'
  return `shares TCP ports, and ${other} ${why}; bind HOST:PORT only, or leave it out`
}

/** What to say to somebody who has ports shared, unless the kernel hands on what waits for a listener that is closed. */
export function reusePortWarning(label: string): string | undefined {
  const value = readSystemFile('/proc/sys/net/ipv4/tcp_migrate_req')?.trim()
  if (value === '1') return undefined
  const loss = `with ${label}, connections that wait for a worker are reset when it ends`
  return value === undefined
    ? `${loss}; Linux from 5.14 on hands them to the others, with ${MIGRATION} set to 1`
    : `${loss}, because ${MIGRATION} is ${value}; set it to 1 with sysctl, and the others get them`
}
