/**
 * The listeners that a master binds for its workers: one for all of them, or with `reusePort` one for each. Then
 * the master has reserved the port and never listens, and hands a reserved listener to every worker, who listens
 * when it is ready.
 */
import { chmodSync, chownSync } from 'node:fs'

import { GneissError, codedError, errorCodeOf } from '../errors.ts'
import { native } from '../native.ts'
import { bindOf } from '../options/native.ts'

import type { Identity } from './identity.ts'
import type { NativeAddress } from '../native.ts'
import type { Config } from '../options.ts'

/** A bound listener. */
export interface BoundListener {
  /** Descriptor in this process. */
  readonly fd: number
  readonly address: Readonly<NativeAddress>
}

/** Listeners for one worker. */
export interface LentListeners {
  /** Descriptors, in the order of `bind`. */
  readonly fds: readonly number[]
  /** The worker has its copies, or there is none. */
  settle(): void
}

/** Permissions that a Unix socket does not get unless the option says otherwise. */
const SOCKET_MASK = 0o117

/**
 * Binds every address; nothing is accepted. Unix sockets belong to the user and group of the workers.
 * @throws `ERR_BIND` for an address, with none left open; `ERR_OPTION` for a socket that cannot be given away.
 */
export function bindListeners(config: Config, identity: Identity): BoundListener[] {
  const bound: BoundListener[] = []
  try {
    for (const text of config.bind) {
      const bind = bindOf(text, config.reusePort)
      const listener = isEach(config) ? native.reserveListener(bind) : native.bindListener(bind, config.backlog)
      bound.push(listener)
      if (listener.address.family === 'unix' && !text.startsWith('fd:'))
        prepareSocket(listener.address.host, config, identity)
    }
  } catch (cause) {
    releaseListeners(bound)
    native.removeSocketFiles()
    throw errorCodeOf(cause) === undefined ? cause : codedError(cause)
  }
  return bound
}

/**
 * Listeners for one more worker.
 * @throws `ERR_BIND` when the system refuses another one.
 */
export function lendListeners(bound: readonly BoundListener[], config: Config): LentListeners {
  if (!isEach(config)) return { fds: bound.map(({ fd }) => fd), settle: () => {} }
  const own: BoundListener[] = []
  try {
    for (const { fd } of bound) own.push(native.reserveListener({ fd }))
  } catch (cause) {
    releaseListeners(own)
    throw codedError(cause)
  }
  // A copy that stays here would keep connections that come to it when the worker has died.
  return { fds: own.map(({ fd }) => fd), settle: () => releaseListeners(own) }
}

/** Whether every worker has listeners of its own. */
function isEach({ reusePort, workers }: Config): boolean {
  return reusePort && workers > 0
}

/** Closes this process's copies. Workers go on; socket files stay. */
export function releaseListeners(listeners: readonly BoundListener[]): void {
  for (const { fd } of listeners) native.releaseListener(fd)
}

function prepareSocket(path: string, config: Config, { uid, gid }: Identity): void {
  try {
    const mask = config.umask === null ? SOCKET_MASK : Number.parseInt(config.umask, 8)
    chmodSync(path, 0o777 & ~mask)
    if (uid !== undefined || gid !== undefined)
      chownSync(path, uid ?? process.getuid?.() ?? 0, gid ?? process.getgid?.() ?? 0)
  } catch (cause) {
    throw new GneissError(
      'ERR_OPTION',
      `the socket ${path} cannot be given to the user of the workers: ${String(cause)}`,
      {
        cause,
      },
    )
  }
}
