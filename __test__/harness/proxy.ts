/** nginx or HAProxy in front of a server, and the requests that it has passed on, as its own log tells them. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

import { onTeardown } from './teardown.ts'

import type { Server } from './app.ts'

/** The proxies that are known. */
export const PROXIES = ['haproxy', 'nginx'] as const

/** One of `PROXIES`. */
export type ProxyName = (typeof PROXIES)[number]

/** A running proxy. */
export interface Proxy {
  readonly url: string
  /** Requests that it has passed on and logged, those answered with `status` alone if one is named. */
  passed(status?: number): number
}

/** How long a proxy waits for the rest of a message, in milliseconds: no test waits longer. */
const PATIENCE = 400

/** Where the program is; undefined when it is not installed. */
export function findProxy(name: ProxyName): string | undefined {
  // Debian keeps them out of the search path of ordinary users.
  const PATH = [process.env.PATH ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter)
  try {
    return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8', env: { PATH } }).trim()
  } catch {
    return undefined
  }
}

/** Starts the proxy in front of the server. It ends with the test. */
export async function startProxy(name: ProxyName, program: string, server: Server): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), `gneiss-${name}-`))
  const port = await freePort()
  const log = join(folder, 'requests')
  const output = openSync(log, 'a')
  const errors = openSync(join(folder, 'errors'), 'a')
  const args = { haproxy, nginx }[name](folder, port, new URL(server.url).host)
  // Nothing of ours: a sanitizer that watches the addon is not to watch the proxy.
  const env = { PATH: process.env.PATH ?? '' }
  const child = spawn(program, args, { env, stdio: ['ignore', output, errors] })
  closeSync(output)
  closeSync(errors)
  const exit = once(child, 'exit')
  onTeardown('clients', async () => {
    child.kill('SIGTERM')
    await exit
    rmSync(folder, { recursive: true })
  })
  while (!(await isReachable(port))) {
    if (child.exitCode !== null)
      throw new Error(`${name} does not start: ${readFileSync(join(folder, 'errors'), 'utf8')}`)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    passed: (status) =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith(`passed ${status ?? ''}`)).length,
  }
}

function haproxy(folder: string, port: number, upstream: string): string[] {
  const file = join(folder, 'haproxy.cfg')
  const text = `
global
  log stdout format raw local0
  tune.bufsize 131072
  tune.http.maxhdr 2000
defaults
  mode http
  log global
  # A request that was answered by the proxy itself has no server.
  log-format "%{-Q}[srv_id,bool,iif(passed,answered)] %ST"
  timeout client ${PATIENCE}ms
  timeout server 5s
  timeout connect 5s
  timeout http-request ${PATIENCE}ms
  http-reuse always
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server gneiss ${upstream}
`
  writeFileSync(file, text)
  return ['-db', '-f', file]
}

function nginx(folder: string, port: number, upstream: string): string[] {
  const file = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const text = `
daemon off;
master_process off;
pid ${folder}/pid;
error_log ${folder}/errors;
events {}
http {
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  map $upstream_addr $kind { '' answered; default passed; }
  log_format short '$kind $status';
  access_log ${folder}/requests short;
  client_header_timeout ${PATIENCE}ms;
  client_body_timeout ${PATIENCE}ms;
  keepalive_timeout ${PATIENCE}ms;
  lingering_timeout ${PATIENCE}ms;
  large_client_header_buffers 4 128k;
  client_max_body_size 64m;
  upstream gneiss { server ${upstream}; keepalive 8; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://gneiss;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_request_buffering off;
      proxy_next_upstream off;
    }
  }
}
`
  writeFileSync(file, text)
  return ['-c', file, '-e', `${folder}/errors`]
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function isReachable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
