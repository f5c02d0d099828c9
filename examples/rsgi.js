/**
 * RSGI, the shortest way to the engine: one-shot answers are one synchronous call.
 *
 *     gneiss examples/rsgi.js
 *     curl http://127.0.0.1:8000/
 *     curl --data 'shout' http://127.0.0.1:8000/upper
 */
const JSON_HEADERS = /** @type {const} */ ([['content-type', 'application/json']])
const TEXT_HEADERS = /** @type {const} */ ([['content-type', 'text/plain; charset=utf-8']])

let visits = 0

/** @type {import('gneiss').RsgiApp} */
export const app = {
  /** Before the first request. */
  async __rsgi_init__() {
    visits = 0
  },

  __rsgi__(scope, protocol) {
    switch (`${scope.method} ${scope.path}`) {
      case 'GET /':
        visits += 1
        return protocol.responseStr(
          200,
          JSON_HEADERS,
          JSON.stringify({ visits, agent: scope.headers.get('user-agent') }),
        )
      case 'GET /empty':
        return protocol.responseEmpty(204, [])
      case 'POST /upper':
        return upper(protocol)
      case 'GET /lines':
        return lines(scope, protocol)
      default:
        return protocol.responseStr(404, TEXT_HEADERS, 'not found')
    }
  },

  /** After the last one. */
  async __rsgi_del__() {
    visits = 0
  },
}

/**
 * The whole body, then the answer.
 * @param {import('gneiss').RsgiProtocol} protocol
 */
async function upper(protocol) {
  const body = await protocol.body()
  protocol.responseStr(200, TEXT_HEADERS, Buffer.from(body).toString('utf8').toUpperCase())
}

/**
 * A stream. `sendStr` gives a promise only when the client is slower than we are.
 * @param {import('gneiss').RsgiScope} scope
 * @param {import('gneiss').RsgiProtocol} protocol
 */
async function lines(scope, protocol) {
  const count = Number(new URLSearchParams(scope.queryString).get('count') ?? 10)
  const stream = protocol.responseStream(200, TEXT_HEADERS)
  for (let line = 1; line <= count; line++) await stream.sendStr(`line ${line}\n`)
  stream.end()
}
