/** Who is connected to a server, and what that costs it: from the kernel's own table, by a process of its own. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

import { ROOT } from './cli.ts'
import { onTeardown } from './teardown.ts'

/** `ss` of iproute2 is here. */
export const HAS_SS: boolean = spawnSync('ss', ['-V']).error === undefined

/** A census that is being taken. */
export interface Census {
  /** Connections at the last look, and how many different ones there have been. */
  readonly open: number
  readonly total: number
  /** Ends it. */
  end(): Promise<Seen>
}

/** What it has seen. Times are milliseconds, sizes bytes. */
export interface Seen {
  /** Of each peer: from the last look without it to the first look without it again. */
  readonly lives: readonly number[]
  /** At the fullest moment, without what was there before the first peer came. */
  readonly most: { readonly peers: number; readonly kernel: number }
  /** Resident memory that one more peer has taken, from when a quarter was there until all were. */
  readonly each: number
}

/** Looks at the connections to `port`, which `pid` holds, but for the one from port `own`. */
export async function takeCensus(port: number, pid: number, own: number | undefined): Promise<Census> {
  const args = ['__test__/fixtures/overload/census.mjs', port, pid, own ?? 0].map(String)
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
  onTeardown('processes', () => void child.kill('SIGKILL'))
  let last = { open: 0, total: 0 }
  let seen: Seen | undefined
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    const lines = (text + data).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const said = JSON.parse(line) as typeof last | { seen: Seen }
      if ('seen' in said) seen = said.seen
      else last = said
    }
  })
  await once(child.stdout, 'data')
  return {
    get open() {
      return last.open
    },
    get total() {
      return last.total
    },
    async end() {
      child.stdin.end()
      await once(child, 'close')
      if (seen === undefined) throw new Error('the census has ended without a result')
      return seen
    },
  }
}
