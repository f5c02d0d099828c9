/**
 * The load generator: wrk with one thread.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

import { childrenCpu } from './process-tree.mjs'
import { APPS, HEADERS } from './scenarios.mjs'

const SCRIPT = new URL('../load.lua', import.meta.url).pathname
const REPORT = '\nREPORT '

/** The version of wrk on PATH; an error that says how to get it when there is none. */
export function generatorVersion() {
  try {
    // wrk prints its version with its usage and exits with 1.
    execFileSync('wrk', ['--version'], { stdio: 'pipe' })
  } catch (error) {
    if (error.code !== 'ENOENT') return String(error.stdout).split(' [', 1)[0].trim()
    throw new Error('wrk was not found on PATH. Install it, on Debian and Ubuntu with `apt-get install wrk`.', {
      cause: error,
    })
  }
  return 'wrk'
}

/** The header fields that requests of a scenario carry beside Host (and content-length, which wrk adds). */
export function requestHeaders(scenario) {
  const { sends } = APPS[scenario.app]
  return {
    ...HEADERS[scenario.headers],
    ...(sends === undefined ? {} : { 'Content-Type': sends.type }),
    ...(scenario.close ? { Connection: 'close' } : {}),
  }
}

/**
 * Loads a port for some seconds as a scenario says. Gives wrk's figures: `requests`, `duration` and latencies in
 * microseconds, `bytes`, and `utilisation`, the share of one processor that wrk itself used. Any error of a
 * connection and any status of 400 and above fails the run.
 */
export async function generateLoad(scenario, server, seconds) {
  const { method = 'GET', sends } = APPS[scenario.app]
  const headers = Object.entries(requestHeaders(scenario)).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const limits = ['-t1', `-c${scenario.connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency']
  const before = childrenCpu()
  const child = spawn('wrk', [...limits, '-s', SCRIPT, ...headers, `http://127.0.0.1:${server.port}/`], {
    env: {
      ...process.env,
      BENCH_METHOD: method,
      BENCH_PIPELINE: String(scenario.pipeline),
      ...(sends === undefined ? {} : { BENCH_BODY: sends.body }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  const [code] = await once(child, 'close')
  const at = output.indexOf(REPORT)
  if (code !== 0 || at < 0) throw server.failure(`wrk failed (exit code ${code})\n${output}`)
  const report = JSON.parse(output.slice(at + REPORT.length))
  const errors = Object.entries(report.errors).filter(([, count]) => count > 0)
  if (errors.length > 0)
    throw server.failure(`errors under load: ${errors.map(([kind, count]) => `${count} ${kind}`).join(', ')}`)
  if (report.requests === 0) throw server.failure('no request was answered under load')
  return { ...report, utilisation: (childrenCpu() - before) / report.duration }
}
