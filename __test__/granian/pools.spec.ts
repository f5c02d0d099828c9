/** Named regressions of what there are several of: workers and threads. */
import { describe, expect, test } from 'vitest'

import { serveApp } from '../harness/app.ts'
import { childrenOf } from '../harness/cli.ts'
import { RawClient, request, turns } from '../harness/client.ts'
import { MODE } from '../harness/mode.ts'
import { READY, logged, startPool } from '../harness/pool.ts'

describe('g27_pool_growth', () => {
  test('a worker that is on its way out is none of those that are wanted', async () => {
    const cli = await startPool(['-w', '2'], { expectLog: ['aborted'] })
    await logged(cli, READY, 2)
    // Both are busy until their clients leave, so that whichever has to go stays for so long.
    const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(cli)))
    for (const client of clients) {
      await client.send('GET /stream HTTP/1.1\r\nhost: a\r\n\r\n')
      await client.readHead()
    }
    const before = childrenOf(cli.child.pid)
    cli.child.kill('SIGTTOU')
    await logged(cli, '1 worker is wanted')
    cli.child.kill('SIGTTIN')
    await logged(cli, READY, 3)
    // Two that serve, and the one that still has clients.
    expect(childrenOf(cli.child.pid)).toHaveLength(3)
    for (const client of clients) await client.close()
    while (childrenOf(cli.child.pid).length > 2) await turns(1)
    expect(childrenOf(cli.child.pid).filter((pid) => before.includes(pid))).toHaveLength(1)
    expect((await request(cli)).status).toBe(200)
  })

  test('however many requests wait, there are as many threads as were asked for', async () => {
    let release = (): void => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const server = await serveApp(
      async () => {
        await gate
        return new Response('ok')
      },
      { runtimeThreads: 2 },
    )
    const answers = Array.from({ length: 100 }, () => request(server))
    await expect.poll(() => server.stats().requests).toBe(100)
    expect(server.stats().threads).toBe(MODE === 'thread' ? 2 : 0)
    release()
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(server.stats().threads).toBe(MODE === 'thread' ? 2 : 0)
  })
})
