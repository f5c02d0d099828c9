/**
 * `docs/hardening.md`: each limit and deadline with its default, what it answers, what it stops and the test that
 * proves it. Defaults and ranges come from the table of options, the payloads from the grid, the coverage from what
 * `npm run fuzz -- --coverage` has stored. An option without a row, and a test that is not there, fail the run.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { HEADINGS, OPTION_KEYS, entryOf } from '../dist/options.js'
import { formatValue, rangeOf } from '../dist/options/values.js'
import { ROOT } from './command.mjs'
import { RULES } from './hardening-rules.mjs'

/**
 * @typedef {object} Row
 * @property {string} answer What the peer gets.
 * @property {string} stops The attack.
 * @property {readonly [string, string]} test File and name of the test.
 */

const LIMITS = '__test__/limits.spec.ts'
const HEAD_LIMIT = 'a request head at its limit is answered, one above it is refused'
const BODY_LIMIT = 'a request body at its limit is answered, one above it is refused'
const DEADLINES = 'crates/core/tests/engine/deadlines.rs'
const BODIES = 'crates/core/src/http1/body_tests.rs'
const OVERLOAD = '__test__/overload.spec.ts'

/** @type {Readonly<Record<string, Row>>} */
const OPTIONS = {
  workerConnections: {
    answer: 'nothing is accepted, nothing is dropped',
    stops: 'exhaustion of file descriptors',
    test: ['__test__/driver.spec.ts', 'a server that is full waits for a place and goes on accepting then'],
  },
  forwardedAllowIps: {
    answer: 'ignored from anybody else; 400 where they contradict each other',
    stops: 'forged client addresses, schemes and hosts',
    test: ['__test__/forwarded.spec.ts', 'sees the peer itself when nobody trusts it'],
  },
  requestTimeout: {
    answer: '504, close; the application is aborted',
    stops: 'handlers that hang',
    test: [DEADLINES, 'every_deadline_ends_its_state'],
  },
  gracefulTimeout: {
    answer: 'reset',
    stops: 'a stop that never ends',
    test: [DEADLINES, 'what_is_open_at_the_closing_deadline_is_cut'],
  },
  firstByteTimeout: {
    answer: 'close',
    stops: 'connections that say nothing',
    test: [DEADLINES, 'every_deadline_ends_its_state'],
  },
  headTimeout: {
    answer: 'close',
    stops: 'Slowloris (CVE-2018-12122): heads byte by byte',
    test: [DEADLINES, 'every_deadline_ends_its_state'],
  },
  bodyIdleTimeout: {
    answer: '408, close; the application is aborted',
    stops: 'bodies that stop (CVE-2020-8251)',
    test: [LIMITS, 'bodyIdleTimeout: a body that stops is answered 408, and its reader is told why'],
  },
  bodyMinRate: {
    answer: '408, close; the application is aborted',
    stops: 'bodies that drip (R-U-Dead-Yet)',
    test: [DEADLINES, 'a_body_below_the_least_rate_is_too_slow'],
  },
  responseIdleTimeout: {
    answer: 'cut; the application is aborted',
    stops: 'answers that nobody ends',
    test: [LIMITS, 'responseIdleTimeout: an answer that stops is cut, and the application is told why'],
  },
  writeTimeout: {
    answer: 'reset; the application is aborted',
    stops: 'readers that stall (slow read)',
    test: [LIMITS, 'writeTimeout: a client that does not read is reset, and the application is told'],
  },
  keepAlive: {
    answer: 'close',
    stops: 'idle connections that pile up',
    test: ['__test__/driver.spec.ts', 'an idle connection is closed at keepAlive'],
  },
  keepAliveMaxAge: {
    answer: 'close after the present answer',
    stops: 'connections that never move to another process',
    test: [LIMITS, 'keepAliveMaxAge: the answer to the first request of an old connection closes it'],
  },
  limitRequestHead: { answer: '431, close', stops: 'memory for heads', test: [LIMITS, HEAD_LIMIT] },
  limitRequestLine: { answer: '414, close', stops: 'memory for targets', test: [LIMITS, HEAD_LIMIT] },
  limitRequestFieldSize: { answer: '431, close', stops: 'memory for one field', test: [LIMITS, HEAD_LIMIT] },
  limitRequestFields: {
    answer: '431, close',
    stops: 'many small fields, hash flooding (CVE-2025-27209)',
    test: [LIMITS, HEAD_LIMIT],
  },
  limitTrailers: { answer: '400, close', stops: 'endless trailers', test: [LIMITS, BODY_LIMIT] },
  limitTrailerFields: { answer: '400, close', stops: 'many small trailers', test: [LIMITS, BODY_LIMIT] },
  maxBody: {
    answer: '413, close; before the body is read where content-length tells',
    stops: 'memory and disk of the application',
    test: [LIMITS, BODY_LIMIT],
  },
  maxBodyRoutes: {
    answer: '413, close; a path with dot segments has the least limit of all',
    stops: 'large bodies where only some paths take them',
    test: [LIMITS, 'maxBodyRoutes: each path has its own limit, however it is spelled'],
  },
  bodyReadAhead: {
    answer: 'the peer waits',
    stops: 'memory for bodies that nobody reads',
    test: ['crates/core/tests/engine/bodies.rs', 'a_body_is_held_back_beyond_the_read_ahead'],
  },
  streamBuffer: {
    answer: 'the application waits',
    stops: 'memory for readers that stall (CVE-2019-9517)',
    test: ['crates/core/tests/engine/connection.rs', 'a_peer_that_reads_slowly_does_not_grow_the_buffer'],
  },
  maxQueue: {
    answer: '503 with `retry-after` before JavaScript runs; the connection is kept',
    stops: 'memory for requests that nobody serves',
    test: [OVERLOAD, 'is answered 503 beyond maxQueue, with a time to come back, and its connection is kept'],
  },
  maxQueueWait: {
    answer: '503 with `retry-after` before JavaScript runs; the connection is kept',
    stops: 'work for clients that have given up',
    test: [OVERLOAD, 'is answered 503 when it has waited longer than maxQueueWait, and never reaches the application'],
  },
}

/** Options of these headings that are no limit of their own. */
const OTHERS = new Set(['timeout', 'shedExempt'])

/** @type {readonly (Row & { name: string, value: string })[]} */
const FIXED = [
  {
    name: 'chunk extensions of a whole body',
    value: '16 KiB',
    answer: '400, close',
    stops: 'bytes that are no payload (CVE-2024-22019, CVE-2023-39326)',
    test: [BODIES, 'row_17_extensions_have_one_limit_for_the_whole_body'],
  },
  {
    name: 'empty lines before a request',
    value: '2',
    answer: '400, close',
    stops: 'a connection that begins for ever',
    test: ['crates/core/src/http1/head_tests.rs', 'row_29_two_empty_lines_are_forgiven'],
  },
  {
    name: 'discarding what follows a last answer',
    value: '1 s after our FIN',
    answer: 'close',
    stops: 'requests hidden in an unread body (CVE-2025-4366), and peers that go on sending',
    test: [DEADLINES, 'what_follows_a_refusal_is_discarded_for_one_second'],
  },
  {
    name: 'requests read ahead behind the present one',
    value: '16 KiB',
    answer: 'the peer waits',
    stops: 'memory for pipelines',
    test: [
      '__test__/driver.spec.ts',
      'pipelined requests that a full send buffer held back are answered when it drains',
    ],
  },
  {
    name: 'proxies followed in forwarding fields',
    value: '32',
    answer: 'the rest is ignored',
    stops: 'long forged chains',
    test: ['crates/core/src/http1/forwarded_tests.rs', 'at_most_32_hops_are_followed'],
  },
  {
    name: 'connections accepted in one turn of the loop',
    value: '64; I/O threads accept one at a time',
    answer: 'the next turn',
    stops: 'storms of connections that starve those who are served',
    test: ['__test__/driver.spec.ts', 'a storm of connections is let in 64 at a time'],
  },
  {
    name: 'states without a deadline',
    value: '0',
    answer: '-',
    stops: 'whatever was not thought of',
    test: ['crates/core/src/fuzz.rs', 'every_reachable_state_owns_a_deadline_and_ends_by_it'],
  },
]

/**
 * The page.
 * @param {string} note Stands at its top.
 */
export function hardeningPage(note) {
  const limits = Object.entries(OPTIONS).map(([key, row]) => {
    const entry = entryOf(/** @type {import('../dist/options.js').OptionKey} */ (key))
    const value = entry.derived ?? formatValue(entry, entry.default)
    const unit = entry.unit === undefined ? '' : ` ${entry.unit}`
    return columns([`\`${key}\``, `${value}${unit}`, rangeOf(entry) ?? '', row.answer, row.stops, provedBy(row)])
  })
  checkComplete()
  const fixed = FIXED.map((row) => columns([row.name, row.value, row.answer, row.stops, provedBy(row)]))
  const rules = Object.entries(RULES).map(([heading, own]) => {
    const lines = own.map(([rule, test]) => columns([rule, provedBy({ test })]))
    return `## ${heading}\n\n| Rule | Proved by |\n| --- | --- |\n${lines.join('\n')}`
  })
  const { rows } = /** @type {Grid} */ (readJson('__test__/grid/grid.json'))
  const variants = rows.flatMap((row) => row.variants)
  const refused = variants.filter(({ refusedIn }) => refusedIn !== undefined)
  const grid = rows.map(({ row, title, variants: own }) => columns([String(row), title, own.map(verdictOf).join('; ')]))
  const coverage = /** @type {{ lines: number, covered: number }} */ (readJson('fuzz/coverage.json'))
  const { hyper, node } = /** @type {Record<'hyper' | 'node', unknown[]>} */ (readJson('__test__/grid/ledger.json'))
  return `${note}

# Hardening

What a peer may do, how far, and what happens then. Nothing has to be switched on. There are no lenient switches.

## Limits and deadlines

| Option | Default | Values | Beyond it | Stops | Proved by |
| --- | --- | --- | --- | --- | --- |
${limits.join('\n')}

What is not an option:

| What | Value | Beyond it | Stops | Proved by |
| --- | --- | --- | --- | --- |
${fixed.join('\n')}

${rules.join('\n\n')}

## Answers to what is refused

A status line, \`date\`, \`content-type\`, \`content-length\`, \`connection: close\`, and the reason phrase as the body; 405 has \`allow\`, 503 \`retry-after\`. Nothing says what was wrong or what the application thought. Behind the answer come our FIN and one second in which everything is discarded, so that the peer gets to read it. A body that turns out to be wrong after a head was sent is a reset.

## The grid

${refused.length} of ${refused.length} payloads that must be refused are refused, ${variants.length - refused.length} of ${variants.length - refused.length} that must be accepted are accepted: by the engine whole, cut at every byte, byte by byte and behind a good request (\`crates/core/tests/engine/grid.rs\`), over sockets in both drivers (\`__test__/grid.spec.ts\`), and behind nginx and HAProxy, where both have to count the same requests (\`__test__/proxies.spec.ts\`). Nothing of a refused request reaches the application. The bytes are in \`__test__/grid/grid.json\`.

| # | Payload | Verdicts |
| --- | --- | --- |
${grid.join('\n')}

## Other servers

The same bytes go to hyper and to node:http, put together from odd parts alone and in pairs. Where they hear other requests than we do, \`__test__/grid/ledger.json\` says who is right and why: ${hyper.length} entries for hyper, ${node.length} for node:http. A disagreement that is not in it fails the tests.

## Fuzzing

\`npm run fuzz\` runs five libFuzzer targets on the stable compiler with the address sanitizer: heads, targets, chunked bodies, forwarding fields, and whole connections under schedules of bytes, commands of the application, a kernel that takes what it wants, and time. Each compares with a second reading or asserts what must always hold: a deadline in every state, counts that balance, bounded buffers, one verdict however the bytes are cut, answers that a strict client can read. \`npm test\` replays the corpora in \`fuzz/corpus\`.

The last long run, \`npm run fuzz -- --seconds 300 --grow\` at the lowest priority of a machine with two busy cores: nothing was found by any target. Of the inputs that it bred, those are kept that reach an edge which nothing else reached.

| Target | Executions | Found | Kept |
| --- | --- | --- | --- |
| \`chunked\` | 5,057,439 | 0 | 0 |
| \`connection\` | 1,125,432 | 0 | 115 |
| \`forwarded\` | 2,180,713 | 0 | 32 |
| \`head\` | 6,805,082 | 0 | 23 |
| \`target\` | 2,269,853 | 0 | 2 |

The walk of \`every_reachable_state_owns_a_deadline_and_ends_by_it\` is no fuzzer: it goes breadth first over everything that 45 acts of peer, kernel, application and time lead to, until no act leads anywhere new. It finds 698 states of a connection, 960 where half-open peers are served. Each has a deadline, unless the application alone is to act and was given all the time it wants; and left alone, each ends by its deadlines. The threaded driver is asked behind each turn of its random schedules whether every connection is in the wheel in time, and both drivers by \`__test__/states.spec.ts\`.

The corpora alone reach ${((100 * coverage.covered) / coverage.lines).toFixed(1)} % of the ${coverage.lines} lines of the codec, counted by \`npm run fuzz -- --coverage\`: the replay is built with \`-Cinstrument-coverage\` and read with \`llvm-cov\`.
`
}

/**
 * @typedef {{ name: string, answers: number[], refusedIn?: string }} Variant
 * @typedef {{ rows: { row: number, title: string, variants: Variant[] }[] }} Grid
 */

/** @param {Variant} variant */
function verdictOf({ name, answers, refusedIn }) {
  return `${name}: ${refusedIn === undefined ? [...new Set(answers)].join() : `**${answers.join()}**`}`
}

/** Every option under the headings of deadlines and limits has its row. */
function checkComplete() {
  const headings = Object.keys(HEADINGS)
  const first = OPTION_KEYS.indexOf('requestTimeout')
  const end = OPTION_KEYS.findIndex(
    (key, index) => index > first && headings.includes(key) && !['limitRequestHead', 'maxQueue'].includes(key),
  )
  const missing = OPTION_KEYS.slice(first, end).filter((key) => !(key in OPTIONS) && !OTHERS.has(key))
  if (missing.length > 0) throw new Error(`scripts/hardening.mjs has no row for ${missing.join(', ')}`)
}

/** @param {Pick<Row, 'test'>} row */
function provedBy({ test: [file, name] }) {
  if (!readFileSync(join(ROOT, file), 'utf8').includes(name)) throw new Error(`${file} has no test "${name}"`)
  return `\`${file.slice(file.lastIndexOf('/') + 1)}\`: ${name}`
}

/** @param {readonly string[]} texts */
function columns(texts) {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
}

/**
 * @param {string} path
 * @returns {unknown}
 */
function readJson(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'))
}
