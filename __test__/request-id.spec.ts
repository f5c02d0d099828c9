/** The id of a request: what the access log writes is what the application reads. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'

import type { FetchInfo, RsgiProtocol, RsgiScope, Scope, Send, ServerRequest } from '../dist/index.js'
import type { App, Options, Server } from './harness/app.ts'

/** Each answers with the id, read twice. */
const apps: Readonly<Record<string, App>> = {
  asgi: (async (scope: Scope, _receive: unknown, send: Send) => {
    if (scope.type !== 'http') return
    const copy = { ...scope }
    const ids = [scope, copy].map(({ extensions }) => (extensions['gneiss.request_id'] as { id: string }).id)
    await send({ type: 'http.response.start', status: 200 })
    await send({ type: 'http.response.body', body: ids.join() })
  }) as App,
  rsgi: {
    __rsgi__: (scope: RsgiScope, protocol: RsgiProtocol) =>
      protocol.responseStr(200, [], [scope.requestId, scope.toJSON().requestId].join()),
  },
  fetch: (incoming: ServerRequest, info: FetchInfo) => new Response([incoming.requestId, info.requestId].join()),
}

function serveNamed(name: string, options: Options): Promise<Server> {
  return serveApp(apps[name] as App, { interface: name as 'asgi', lifespan: 'off', ...options })
}

/** The id that the application sees, and that its own fields are all that it sees beside it. */
async function idOf(server: Server, given?: string): Promise<string> {
  const headers = given === undefined ? [] : [['x-request-id', given] as const]
  const [one, other] = (await request(server, { headers })).text.split(',')
  expect(one).toBe(other)
  return one as string
}

describe.each(Object.keys(apps))('%s', (name) => {
  test.each(['%(id)s', 'json'])('sees the id that the access log writes as %s', async (format) => {
    const file = join(folderWith({}), 'access.log')
    const server = await serveNamed(name, { accessLog: file, accessLogFormat: format })
    const long = 'l'.repeat(129)
    const seen = [await idOf(server), await idOf(server, 'theirs'), await idOf(server, long), await idOf(server, '')]
    await server.close()
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
    const logged = lines.map((line) => (format === 'json' ? (JSON.parse(line) as { id: string }).id : line))
    expect(logged).toEqual(seen)
    expect(seen[1]).toBe('theirs')
    const own = [seen[0], seen[2], seen[3]]
    for (const id of own) expect(id).toMatch(/^[0-9a-f]{32}$/)
    expect(new Set(own).size).toBe(3)
  })

  test.each<Options>([{}, { accessLog: '/dev/null', accessLogFormat: 'common' }])(
    'has one also where no log writes it: %j',
    async (options) => {
      const server = await serveNamed(name, options)
      const seen = [await idOf(server), await idOf(server), await idOf(server, 'theirs')]
      expect(seen[0]).toMatch(/^[0-9a-f]{32}$/)
      expect(seen[1]).toMatch(/^[0-9a-f]{32}$/)
      expect(new Set(seen).size).toBe(3)
      expect(seen[2]).toBe('theirs')
    },
  )
})

test('an id that was made is no field of the request', async () => {
  const server = await serveApp(
    {
      __rsgi__: ({ headers }: RsgiScope, protocol) =>
        protocol.responseStr(200, [], JSON.stringify([[...headers.keys()], headers.get('@id') ?? 'none'])),
    },
    { accessLog: '/dev/null', accessLogFormat: 'json' },
  )
  const { text } = await request(server, { headers: [['x-last', '1']] })
  expect(JSON.parse(text)).toEqual([['host', 'x-last'].sort(), 'none'])
})
