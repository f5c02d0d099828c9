/** A backlog that the kernel cuts. */
import { readFileSync } from 'node:fs'

import { describe, expect, test } from 'vitest'

import { parseArguments } from '../dist/options/arguments.js'
import { resolveOptions, resolveServeOptions } from '../dist/options/resolve.js'
import { startCli } from './harness/cli.ts'
import { LOCAL } from './harness/pool.ts'

/** The largest that the option takes. */
const MOST = 65_535

function somaxconn(): number {
  try {
    return Number(readFileSync('/proc/sys/net/core/somaxconn', 'latin1'))
  } catch {
    return Infinity
  }
}

describe.runIf(somaxconn() < MOST)('a backlog above net.core.somaxconn', () => {
  const limit = somaxconn()

  test('is a warning that names both values', () => {
    const text = (label: string): RegExp =>
      new RegExp(`^${label} is ${limit + 1}, and the kernel cuts it to net\\.core\\.somaxconn, which is ${limit}; `)
    expect(resolveServeOptions({ backlog: limit + 1 }).warnings).toEqual([
      expect.stringMatching(text('option backlog')),
    ])
    const { warnings } = resolveOptions([parseArguments(['--backlog', String(limit + 1)])])
    expect(warnings).toEqual([expect.stringMatching(text('--backlog'))])
  })

  test('that nobody has asked for, or one that is granted, is none', () => {
    expect(resolveServeOptions({ backlog: limit }).warnings).toEqual([])
    expect(resolveServeOptions().warnings).toEqual([])
  })

  test.each(['0', '1'])('is said once with --workers %s', async (workers) => {
    const cli = await startCli(['examples/rsgi.js', ...LOCAL, '-w', workers, '--backlog', String(MOST)], {
      expectLog: [/\[warn\] --backlog is 65535, and the kernel cuts it to net\.core\.somaxconn, which is \d+; /],
    })
    const { stderr } = await cli.stop()
    expect(stderr.split('somaxconn')).toHaveLength(2)
  })
})
