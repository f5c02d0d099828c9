/**
 * What is measured, as data: adding a scenario is adding an entry.
 *
 * - `kind`: `load` (wrk), `idle` (memory of open connections) or `start` (process start to first answer).
 * - `app`: the handler that every server runs, an export of the files in `apps/` and a key of `APPS`.
 * - `headers`: how many header fields a request has, 1 (Host) or 10 (as a browser sends).
 * - `connections`, `pipeline`, `close`: open connections, requests in flight on each, one request a connection.
 * - `servers`: names from `servers.mjs`; a server that is missing here cannot run it or has no place in it.
 * - `rounds`: instead of the run's, where one sample is short and rough.
 * - `flags`: extra arguments, see `ServerProcess`.
 * - `ratio`, `references`: the figure that is compared and the servers it is compared with, if not those of its kind.
 * - `set`: the short run it is part of, `quick`, `streams` or `workers`. Those leave out the servers marked `fullOnly`, and
 *   `streams` also Fastify, which no target of a stream is held against.
 */
import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, computed, greeting, hashed } from '../apps/content.js'

const GNEISS = ['gneiss-rsgi', 'gneiss-fetch', 'gneiss-asgi']
const ALL = ['node-http', 'fastify', 'uws', ...GNEISS]
const ALL_BUT_UWS = ALL.filter((name) => name !== 'uws')
const WITH_HONO = [...ALL, 'hono-node', 'gneiss-hono']
const DRIVERS = ['node-http', 'gneiss-rsgi', 'gneiss-thread']

// An object of about 1 KB; parsing and printing it gives the same text again.
const ECHO_BODY = JSON.stringify({
  name: 'echo',
  items: Array.from({ length: 16 }, (_, index) => ({
    id: index,
    label: `item number ${index}`,
    price: index * 1.25,
    ok: true,
  })),
})

/** What an application is sent and must answer. A body of `length` bytes is checked by its size and one letter. */
export const APPS = {
  hello: { type: 'text/plain', body: HELLO },
  soak: { type: 'text/plain', body: HELLO },
  compute: { type: 'application/json', body: JSON.stringify(computed()) },
  hash: { type: 'text/plain', body: hashed() },
  json: { type: 'application/json', body: JSON.stringify(greeting()) },
  echo: {
    method: 'POST',
    sends: { type: 'application/json', body: ECHO_BODY },
    type: 'application/json',
    body: ECHO_BODY,
  },
  upload: {
    method: 'POST',
    sends: { type: 'application/octet-stream', body: 'x'.repeat(102_400) },
    type: 'text/plain',
    body: '102400',
  },
  streamMicrotask: { type: 'text/plain', body: KILOBYTE.toString().repeat(PIECES.small), streamed: true },
  streamMacrotask: { type: 'text/plain', body: KILOBYTE.toString().repeat(PIECES.small), streamed: true },
  streamLarge: { type: 'text/plain', body: SIXTY_FOUR_KILOBYTES.toString().repeat(PIECES.large), streamed: true },
}

/** Fields of a request beside Host, by the total number of fields. */
export const HEADERS = {
  1: {},
  10: {
    'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'Accept-Language': 'en-US,en;q=0.5',
    'Accept-Encoding': 'gzip, deflate, br',
    Referer: 'http://localhost/articles/2024/a-page-with-a-longer-name',
    Cookie: 'session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes',
    'Sec-Fetch-Dest': 'document',
    'Sec-Fetch-Mode': 'navigate',
    'Cache-Control': 'max-age=0',
  },
}

const DEFAULTS = { kind: 'load', headers: 1, connections: 64, pipeline: 1, close: false, set: undefined }

/** Every scenario, in the order it is run and printed. */
export const SCENARIOS = [
  { name: 'hello-1', title: 'Hello, 1 request header', app: 'hello', servers: WITH_HONO, set: 'quick' },
  {
    name: 'hello-10',
    title: 'Hello, 10 request headers',
    app: 'hello',
    headers: 10,
    servers: [...WITH_HONO, 'gneiss-thread'],
    set: 'quick',
  },
  { name: 'json', title: 'JSON answer, 10 request headers', app: 'json', headers: 10, servers: ALL },
  { name: 'echo', title: 'Echo of 1 KB of JSON', app: 'echo', servers: ALL },
  { name: 'upload', title: 'Upload of 100 KB', app: 'upload', servers: ALL },
  {
    name: 'stream-microtask',
    title: 'Stream of 10 x 1 KB, a microtask between',
    app: 'streamMicrotask',
    servers: ALL,
    set: 'streams',
  },
  {
    name: 'stream-macrotask',
    title: 'Stream of 10 x 1 KB, a macrotask between',
    app: 'streamMacrotask',
    servers: ALL,
    set: 'streams',
  },
  {
    // Few connections: what is cut off at the end of the window would otherwise be a large share.
    name: 'stream-large',
    title: 'Stream of 100 x 64 KB, 8 connections',
    app: 'streamLarge',
    connections: 8,
    servers: ALL_BUT_UWS,
    set: 'streams',
  },
  {
    name: 'compute',
    title: 'Hello with 10 µs of JSON, 10 request headers',
    app: 'compute',
    headers: 10,
    servers: DRIVERS,
  },
  { name: 'pipelined', title: 'Hello, pipelined 16', app: 'hello', pipeline: 16, servers: ALL },
  { name: 'connections-1', title: 'Hello, 1 connection', app: 'hello', headers: 10, connections: 1, servers: ALL },
  { name: 'connections-16', title: 'Hello, 16 connections', app: 'hello', headers: 10, connections: 16, servers: ALL },
  {
    name: 'connections-256',
    title: 'Hello, 256 connections',
    app: 'hello',
    headers: 10,
    connections: 256,
    servers: ALL,
  },
  // uWebSockets.js closes without saying `connection: close`, which wrk counts as an error each time.
  { name: 'one-shot', title: 'Hello, one request a connection', app: 'hello', close: true, servers: ALL_BUT_UWS },
  {
    name: 'idle',
    title: '10,000 idle connections',
    kind: 'idle',
    app: 'hello',
    connections: 10_000,
    servers: ALL,
    // By default gneiss takes 10,000 and no more, and what waits for a close is not gone yet.
    flags: { gneiss: ['--worker-connections', '11000'] },
  },
  {
    name: 'start',
    title: 'Process start to first answer',
    kind: 'start',
    app: 'hello',
    rounds: 15,
    servers: [...ALL, 'gneiss-1'],
    set: 'workers',
  },
  {
    name: 'hash',
    title: '1 ms of pbkdf2 a request',
    app: 'hash',
    // With 64 on a slow machine each would wait for so long that gneiss turns some away.
    connections: 16,
    servers: ['cluster-1', 'cluster-2', 'fastify-1', 'fastify-2', 'gneiss-1', 'gneiss-2'],
    ratio: 'rps',
    references: ['cluster-1', 'fastify-1', 'gneiss-1'],
    set: 'workers',
  },
].map((scenario) => ({ ...DEFAULTS, ...scenario }))
