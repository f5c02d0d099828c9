/** A named regression of the options that watch over workers: whatever is set together works together. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { SUPERVISION_OPTIONS } from '../../dist/options/supervision.js'
import { childrenOf } from '../harness/cli.ts'
import { request, turns } from '../harness/client.ts'
import { folderWith } from '../harness/folder.ts'
import { READY, gone, logged, pidOf, startPool } from '../harness/pool.ts'
import { allPairs, missingPairs } from '../lifetime/pairs.js'

describe('g37_option_mix', () => {
  const isRoot = process.getuid?.() === 0
  const DIMENSIONS: Readonly<Record<keyof typeof SUPERVISION_OPTIONS, readonly string[]>> = {
    bootTimeout: ['20s', '60s'],
    healthProbe: ['', '/'],
    captureOutput: ['', 'yes'],
    loopTimeout: ['0', '1s'],
    shutdownDelay: ['0', '200ms'],
    crashLoop: ['exit', 'degrade', 'ignore'],
    crashLoopGrace: ['1s', '10s'],
    hookTimeout: ['1s', '5s'],
    procName: ['gneiss', 'another'],
    pidfile: ['', 'pid'],
    // Only root may become somebody; it becomes itself.
    user: isRoot ? ['', '0'] : [''],
    group: isRoot ? ['', '0'] : [''],
    initgroups: isRoot ? ['', 'yes'] : [''],
    umask: ['', '077'],
    disconnectGrace: ['100ms', '3s'],
    onUncaught: ['exit', 'keep'],
    workerClass: ['async'],
    // What the pool says is read from there.
    errorLog: ['', '-'],
  }
  const cases = allPairs(DIMENSIONS)

  test('the cases hold every pair of values of all options of supervision', () => {
    expect(Object.keys(DIMENSIONS).toSorted()).toEqual(Object.keys(SUPERVISION_OPTIONS).toSorted())
    expect(missingPairs(DIMENSIONS, cases)).toEqual([])
  })

  test.each(cases.map((one, index) => [index, one] as const))(
    'case %s: a lost worker is replaced, one more comes and goes, and the stop leaves nothing',
    async (_index, one) => {
      const cwd = folderWith({})
      const args = Object.entries(one).flatMap(([name, value]) => argumentsOf(name, value))
      const cli = await startPool(['-w', '2', ...args], { cwd, expectLog: [/worker \d+ .*SIGKILL/] })
      await logged(cli, READY, 2)
      expect(existsSync(join(cwd, 'pid'))).toBe(one.pidfile === 'pid')
      const lost = await pidOf(cli)
      process.kill(lost, 'SIGKILL')
      await gone(lost)
      await logged(cli, READY, 3)
      cli.child.kill('SIGTTIN')
      await logged(cli, READY, 4)
      expect(childrenOf(cli.child.pid)).toHaveLength(3)
      cli.child.kill('SIGTTOU')
      while (childrenOf(cli.child.pid).length > 2) await turns(1)
      expect((await request(cli)).status).toBe(200)
      const left = childrenOf(cli.child.pid)
      await cli.stop()
      for (const pid of left) await gone(pid)
      expect(existsSync(join(cwd, 'pid'))).toBe(false)
    },
    60_000,
  )

  /** An option as the command line has it. */
  function argumentsOf(name: string, value: string): string[] {
    if (value === '') return []
    const { flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`) } = SUPERVISION_OPTIONS[
      name as keyof typeof SUPERVISION_OPTIONS
    ] as { flag?: string }
    return value === 'yes' ? [`--${flag}`] : [`--${flag}`, value]
  }
})
