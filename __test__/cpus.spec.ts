/** How many cpus a control group leaves to the process. */
import { describe, expect, test } from 'vitest'

import { cpuQuota } from '../dist/options/cpus.js'

describe('cpus within the quota of control groups', () => {
  const V2 = '0::/a/b\n'
  const V1 = '5:cpu,cpuacct:/a\n4:memory:/a\n'
  test.each([
    ['none', {}, undefined],
    ['no limit', { '/proc/self/cgroup': V2, '/sys/fs/cgroup/a/b/cpu.max': 'max 100000\n' }, undefined],
    ['its own', { '/proc/self/cgroup': V2, '/sys/fs/cgroup/a/b/cpu.max': '150000 100000\n' }, 1.5],
    [
      'the smallest above it',
      {
        '/proc/self/cgroup': V2,
        '/sys/fs/cgroup/a/b/cpu.max': '400000 100000\n',
        '/sys/fs/cgroup/a/cpu.max': '200000 100000\n',
      },
      2,
    ],
    ['of a container', { '/proc/self/cgroup': '0::/../..\n', '/sys/fs/cgroup/cpu.max': '300000 100000\n' }, 3],
    [
      'of version 1',
      {
        '/proc/self/cgroup': V1,
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us': '250000\n',
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us': '100000\n',
      },
      2.5,
    ],
    [
      'of version 1, unlimited',
      {
        '/proc/self/cgroup': V1,
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us': '-1\n',
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us': '100000\n',
      },
      undefined,
    ],
  ])('%s', (_what, files, quota) => {
    expect(cpuQuota((path) => (files as Record<string, string>)[path])).toBe(quota)
  })
})
