/** How many cpus this process may use: what `--workers auto` means. */
import { availableParallelism } from 'node:os'

import { readSystemFile } from './system-file.ts'

/** Reads a file of the system; undefined where there is none. */
export type ReadFile = (path: string) => string | undefined

/** Cpus of the machine that this process may run on, within the quota of its control groups; 1 at least. */
export function availableCpus(): number {
  const quota = process.platform === 'linux' ? cpuQuota(readSystemFile) : undefined
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quota ?? Infinity)))
}

/** The smallest quota of the control group and those above it, in cpus; undefined without one. Both versions are read. */
export function cpuQuota(read: ReadFile): number | undefined {
  const groups = (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    return controllers === undefined || path === undefined ? [] : [{ controllers, path }]
  })
  const quotas = groups.flatMap(({ controllers, path }) => {
    if (controllers === '') return pathsUp(path).map((folder) => quotaOf2(read(`/sys/fs/cgroup${folder}/cpu.max`)))
    if (!controllers.split(',').includes('cpu')) return []
    return pathsUp(path).map((folder) =>
      quotaOf1(
        read(`/sys/fs/cgroup/${controllers}${folder}/cpu.cfs_quota_us`),
        read(`/sys/fs/cgroup/${controllers}${folder}/cpu.cfs_period_us`),
      ),
    )
  })
  const known = quotas.filter((quota) => quota !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}

/** `/a/b`, `/a` and the root: in a container the own path is not visible, but the root is. */
function pathsUp(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..')
  return parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`).concat('')
}

/** `MAX PERIOD`, or `max PERIOD` without a quota. */
function quotaOf2(text: string | undefined): number | undefined {
  const [quota, period] = (text ?? '').trim().split(' ')
  return ratio(Number(quota), Number(period))
}

/** The quota is -1 without one. */
function quotaOf1(quota: string | undefined, period: string | undefined): number | undefined {
  return ratio(Number(quota), Number(period))
}

function ratio(quota: number, period: number): number | undefined {
  return quota > 0 && period > 0 ? quota / period : undefined
}
