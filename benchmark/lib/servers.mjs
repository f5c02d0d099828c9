/**
 * Who is measured, as data: how each server is started, what it is called and when it cannot run.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

/** The checkout's folder: servers are started there. */
export const ROOT = new URL('../../', import.meta.url).pathname

/** The folder of the rival packages. */
export const RIVALS = new URL('../rivals/', import.meta.url).pathname

const UWS = '@trufflesuite/uws-js-unofficial'

/** The servers by name. `command` gives the arguments of `node`; `unavailable` says why it cannot run, if so. */
export const SERVERS = {
  'node-http': rival('node:http', () => process.versions.node),
  fastify: rival('Fastify', () => installedVersion('fastify')),
  uws: { ...rival('uWebSockets.js', () => installedVersion(UWS)), unavailable: uwsUnavailable },
  'gneiss-rsgi': gneiss('rsgi'),
  'gneiss-fetch': gneiss('fetch'),
  'gneiss-asgi': gneiss('asgi'),
  'gneiss-thread': { ...gneiss('rsgi', 'rsgi', ['--runtime-mode', 'thread']), title: 'gneiss rsgi, thread mode' },
  'gneiss-1': { ...gneiss('rsgi', 'rsgi', [], 1), title: 'gneiss rsgi, 1 worker' },
  'gneiss-2': { ...gneiss('rsgi', 'rsgi', [], 2), title: 'gneiss rsgi, 2 workers' },
  'cluster-1': clustered('node-http', 'node:http, cluster of 1', 1),
  'cluster-2': clustered('node-http', 'node:http, cluster of 2', 2),
  'fastify-1': clustered('fastify', 'Fastify, cluster of 1', 1),
  'fastify-2': clustered('fastify', 'Fastify, cluster of 2', 2),
  'hono-node': { ...rival('Hono on @hono/node-server', () => installedVersion('@hono/node-server')), fullOnly: true },
  'gneiss-hono': { ...gneiss('hono', 'fetch'), title: 'Hono on gneiss', fullOnly: true },
}
for (const [name, server] of Object.entries(SERVERS)) server.name = name

/** Rival packages that are not installed as `rivals/package.json` asks. */
export function missingRivals() {
  const { dependencies } = JSON.parse(readFileSync(`${RIVALS}package.json`, 'utf8'))
  return Object.keys(dependencies).filter((name) => installedVersion(name) !== dependencies[name])
}

function rival(title, version) {
  return {
    title,
    version,
    command(app, port) {
      return [`benchmark/servers/${this.name}.js`, String(port), app]
    },
    unavailable: () => undefined,
  }
}

/** A rival behind node:cluster, which is the way of Node to use more than one processor. */
function clustered(name, title, workers) {
  return {
    title,
    version: () => SERVERS[name].version(),
    command: (app, port) => ['benchmark/servers/cluster.js', `${name}.js`, String(workers), String(port), app],
    unavailable: () => undefined,
  }
}

/** Started as a user starts it; the interface is named because a function of two arguments would be taken for `node`. */
function gneiss(file, interfaceName = file, flags = [], workers = 0) {
  return {
    title: `gneiss ${file}`,
    version: () => JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).version,
    command: (app, port) => [
      'dist/cli.js',
      `benchmark/apps/${file}.js:${app}`,
      '--interface',
      interfaceName,
      '--bind',
      `127.0.0.1:${port}`,
      // One process, like the rivals, unless it says otherwise.
      '--workers',
      String(workers),
      ...flags,
    ],
    unavailable: () => undefined,
    isOurs: true,
  }
}

/** Why gneiss cannot be started, if so. */
export function gneissUnavailable() {
  const missing = ['dist/cli.js', 'dist/native.js'].filter((file) => !existsSync(ROOT + file))
  return missing.length === 0 ? undefined : `${missing.join(' and ')} not found: run \`npm run build\` first`
}

function uwsUnavailable() {
  const { platform, arch, versions } = process
  const binary = `node_modules/${UWS}/binaries/uws_${platform}_${arch}_${versions.modules}.node`
  if (existsSync(RIVALS + binary)) return undefined
  return `its npm build has no binary for Node ${process.version} on ${platform}-${arch} (ABI ${versions.modules}); Node 20 has one`
}

function installedVersion(name) {
  const file = `${RIVALS}node_modules/${name}/package.json`
  return existsSync(file) ? createRequire(import.meta.url)(file).version : undefined
}
