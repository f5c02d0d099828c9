/** What every Node release has to do, in seconds: each interface once around, and a stop under load. */
import { describe, expect, test } from 'vitest'

import { atRest } from '../harness/app.ts'
import { startCli } from '../harness/cli.ts'
import { RawClient } from '../harness/client.ts'
import { INTERFACES, serveHandler } from '../harness/interfaces.ts'
import { startLoad } from '../harness/load.ts'

describe.each(INTERFACES)('%s', (name) => {
  test('answers, reads, streams and learns of a client that leaves', async () => {
    let aborts = 0
    const server = await serveHandler(name, async ({ path, onAbort, read, respond, stream }) => {
      if (path === '/hello') return respond(200, [['content-type', 'text/plain']], 'hello')
      if (path === '/size') {
        let size = 0
        for (let piece = await read(); piece !== undefined; piece = await read()) size += piece.length
        return respond(200, [], String(size))
      }
      const sink = await stream(200, [])
      await sink.write('one ')
      if (path === '/stream') {
        await sink.write('two')
        return sink.end()
      }
      return new Promise<void>((resolve) => {
        onAbort(() => {
          aborts += 1
          resolve()
        })
      })
    })
    const client = await RawClient.connect(server)
    expect((await client.request({ path: '/hello' })).text).toBe('hello')
    const body = 'x'.repeat(300_000)
    expect((await client.request({ method: 'POST', path: '/size', body })).text).toBe('300000')
    expect((await client.request({ path: '/stream' })).text).toBe('one two')

    await client.send('GET /wait HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    await client.reader.through('one ')
    client.reset()
    await atRest(server)
    expect(aborts).toBe(1)
  })
})

test('SIGTERM under load exits 0 with nothing left behind', async () => {
  for (let round = 0; round < 3; round++) {
    const cli = await startCli(['examples/rsgi.js', '--bind', '127.0.0.1:0'])
    const load = startLoad(cli.url, 8)
    await load.reached(200)
    const { code } = await cli.stop('SIGTERM')
    await load.finished()
    expect(code).toBe(0)
  }
})
