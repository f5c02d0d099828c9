/** A wall clock that is set back or forward under a master and its workers. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { childrenOf } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { startPool } from './harness/pool.ts'
import { scaled } from './harness/scale.ts'

const FOLDERS = ['/usr/lib/x86_64-linux-gnu/faketime', '/usr/lib/aarch64-linux-gnu/faketime', '/usr/lib/faketime']
/** Answers the wall clock of a process with another time, and leaves the monotonic one alone. */
const LIBRARY = FOLDERS.map((folder) => join(folder, 'libfaketime.so.1')).find((path) => existsSync(path))
const REASON = LIBRARY === undefined ? ' (skipped: apt-get install libfaketime)' : ''

const HOUR = 3600
const DAY = 24 * HOUR

// A sanitizer is preloaded as well, and wants to be the first.
test.skipIf(LIBRARY === undefined || process.env.LD_PRELOAD !== undefined)(
  `a wall clock that goes back an hour and forward a day ends nothing, and Date follows within a second${REASON}`,
  async () => {
    const clock = join(folderWith({}), 'clock')
    const set = (seconds: number): void => writeFileSync(clock, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    set(0)
    const limits = ['--boot-timeout', '20s', '--request-timeout', '20s', '--keep-alive', '20s']
    const cli = await startPool(['-w', '2', ...limits], {
      env: {
        LD_PRELOAD: LIBRARY as string,
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        FAKETIME_DONT_RESET: '1',
        DONT_FAKE_MONOTONIC: '1',
      },
    })
    const workers = childrenOf(cli.child.pid)
    const kept = await RawClient.connect(cli)
    const first = (await kept.request()).text
    const slow = await RawClient.connect(cli)
    await slow.send('GET /wait/3000 HTTP/1.1\r\nhost: a\r\n\r\n')
    for (const seconds of [-HOUR, DAY, 0]) {
      set(seconds)
      const began = performance.now()
      // Each worker makes the field once a second. Of so many connections in a row both have some.
      for (let right = 0; right < 8;) right = Math.abs(await offBy(cli.url, seconds)) <= 1000 ? right + 1 : 0
      expect(performance.now() - began).toBeLessThan(scaled(15_000, 2000))
    }
    expect((await kept.request()).text).toBe(first)
    expect((await slow.read()).status).toBe(200)
    expect(childrenOf(cli.child.pid)).toEqual(workers)
    expect(cli.output().stderr).not.toMatch(/next start|was killed|refused/)
  },
)

/** Milliseconds between what Date says and the clock of this process moved by so many seconds. */
async function offBy(url: string, seconds: number): Promise<number> {
  const date = (await request(url)).header('date')
  const now = Date.now() + seconds * 1000
  const said = Date.parse(String(date))
  // The field has whole seconds: it may be behind by up to one.
  return said > now ? said - now : Math.min(0, said + 1000 - now)
}
