/**
 * One sample of one server in one scenario, in a fresh process.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

import { assertAnswer } from './answers.mjs'
import { generateLoad } from './generator.mjs'
import { cpuBetween, cpuOf, machineTime, peakRssOf, rssOf } from './process-tree.mjs'
import { ServerProcess } from './server-process.mjs'

/** Takes a sample as the scenario's kind says. `timing` holds `warmup` and `seconds`. */
export function takeSample(scenario, server, timing) {
  return KINDS[scenario.kind](scenario, server, timing)
}

const KINDS = { load: sampleLoad, idle: sampleIdle, start: sampleStart }

async function sampleLoad(scenario, server, { warmup, seconds }) {
  const running = await ServerProcess.start(server, scenario.app, scenario.flags)
  await assertAnswer(scenario, running)
  await generateLoad(scenario, running, warmup)
  const before = cpuOf(running.pid)
  const machineBefore = machineTime()
  const load = await generateLoad(scenario, running, seconds)
  const used = cpuBetween(before, cpuOf(running.pid))
  const machine = cpuBetween(machineBefore, machineTime())
  const peakRss = peakRssOf(running.pid)
  await assertAnswer(scenario, running)
  await running.stop()
  const each = (microseconds) => microseconds / load.requests
  return {
    cpu: each(used.total),
    cpuJs: each(used.js),
    cpuOther: each(used.other),
    cpuUser: each(used.user),
    cpuSystem: each(used.system),
    rps: (load.requests / load.duration) * 1e6,
    megabytesPerSecond: load.bytes / load.duration,
    p50: load.p50,
    p99: load.p99,
    p999: load.p999,
    requests: load.requests,
    peakRss,
    generator: load.utilisation,
    stolen: machine.stolen / machine.all,
  }
}

/** Memory of connections that made one request each and then stay open. */
async function sampleIdle(scenario, server, { warmup }) {
  const running = await ServerProcess.start(server, scenario.app, scenario.flags)
  await assertAnswer(scenario, running)
  // What the first load costs in code and heap belongs to no connection.
  await generateLoad({ ...scenario, connections: 64 }, running, warmup)
  const before = rssOf(running.pid)
  const sockets = await openIdle(running, scenario.connections)
  await delay(SETTLE)
  const after = rssOf(running.pid)
  const closed = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length
  // A reset leaves no port in TIME_WAIT, of which the next round would run out.
  for (const socket of sockets) socket.resetAndDestroy()
  if (closed > 0) throw running.failure(`closed ${closed} of ${scenario.connections} idle connections`)
  await running.stop()
  return { kibEach: (after - before) / 1024 / scenario.connections, peakRss: after }
}

/** From the moment before the process is spawned to its first complete answer. */
async function sampleStart(scenario, server) {
  const starting = await ServerProcess.spawn(server, scenario.app, scenario.flags)
  const milliseconds = (await starting.firstAnswer()) - starting.startedAt
  const cpuMilliseconds = cpuOf(starting.pid).total / 1000
  const peakRss = peakRssOf(starting.pid)
  await starting.stop()
  return { milliseconds, cpuMilliseconds, peakRss }
}

const SETTLE = 500
const BATCH = 200

async function openIdle(running, count) {
  const sockets = []
  while (sockets.length < count) {
    const size = Math.min(BATCH, count - sockets.length)
    sockets.push(...(await Promise.all(Array.from({ length: size }, () => openOne(running)))))
  }
  return sockets
}

async function openOne(running) {
  const socket = connect(running.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  // The answer is far smaller than a segment, so it comes in one piece.
  const [answer] = await once(socket, 'data').catch((error) => {
    throw running.failure(`a connection that was to idle failed: ${error.message}`)
  })
  if (!answer.toString('latin1').startsWith('HTTP/1.1 200 '))
    throw running.failure('an idle connection was not answered')
  socket.on('error', () => socket.destroy())
  return socket
}
