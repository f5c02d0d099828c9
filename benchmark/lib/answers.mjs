/**
 * Checks that a server answers what all others answer, before and after it is timed.
 */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'

import { requestHeaders } from './generator.mjs'
import { APPS } from './scenarios.mjs'

/** Sends one request of the scenario and throws unless status, fields and body are right. */
export async function assertAnswer(scenario, server) {
  const app = APPS[scenario.app]
  const { status, headers, body } = await exchange(scenario, server)
  const expect = (what, isRight, seen) => {
    if (!isRight) throw server.failure(`wrong ${what} in its answer: ${JSON.stringify(seen)}`)
  }
  expect('status', status === 200, status)
  expect('body', body === app.body, body.length > 200 ? `${body.length} bytes` : body)
  expect('content-type', headers['content-type']?.split(';', 1)[0] === app.type, headers['content-type'])
  const age = Date.now() - Date.parse(headers.date)
  // Servers that cache the date are a second late, and the field has no fractions.
  expect('date', age > -1000 && age < 5000, headers.date)
  if (app.streamed)
    expect('transfer-encoding', headers['transfer-encoding'] === 'chunked', headers['transfer-encoding'])
  else
    expect(
      'content-length',
      headers['content-length'] === String(Buffer.byteLength(app.body)),
      headers['content-length'],
    )
  if (scenario.pipeline > 1) await assertPipelined(scenario, server)
}

async function exchange(scenario, server) {
  const { method = 'GET', sends } = APPS[scenario.app]
  const sent = request({
    port: server.port,
    host: '127.0.0.1',
    method,
    headers: requestHeaders(scenario),
    agent: false,
  })
  // With an explicit length: a body that is written before the head is complete would be sent in chunks.
  if (sends !== undefined) sent.setHeader('content-length', Buffer.byteLength(sends.body))
  sent.end(sends?.body)
  const [response] = await once(sent, 'response')
  const body = (await response.setEncoding('utf8').toArray()).join('')
  return { status: response.statusCode, headers: response.headers, body }
}

/** As many answers as requests, each complete, on one connection. */
async function assertPipelined({ app, pipeline }, server) {
  const socket = connect(server.port, '127.0.0.1').setEncoding('latin1')
  socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(pipeline))
  let text = ''
  for await (const piece of socket) {
    text += piece
    const answers = text.split('HTTP/1.1 200 ').length - 1
    if (answers === pipeline && text.split(APPS[app].body).length - 1 === pipeline) return
  }
  throw server.failure(`did not answer ${pipeline} pipelined requests: ${JSON.stringify(text.slice(0, 400))}`)
}
