/** Process 1 inherits every orphan of its container, and nobody else takes note of their end. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'

import { native } from '../native.ts'

import type { ChildProcess } from 'node:child_process'

/** Milliseconds between two looks: a child of our own that has ended may hide others for the moment. */
const INTERVAL = 1000

/**
 * Reaps orphans, in process 1 only, until the returned function is called. What this process has started
 * itself, workers and whatever hooks start, is left to libuv: their exit codes are somebody's.
 */
export function reapOrphans(isFirst: boolean = process.pid === 1): () => void {
  if (!isFirst) return () => {}
  const own = new Set<ChildProcess>()
  const note = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess }
    own.add(child)
    child.once('exit', () => own.delete(child))
  }
  const reap = (): void => void native.reapOrphans([...own].flatMap(({ pid }) => pid ?? []))
  subscribe('child_process', note)
  process.on('SIGCHLD', reap)
  const timer = setInterval(reap, INTERVAL)
  timer.unref()
  return () => {
    unsubscribe('child_process', note)
    process.off('SIGCHLD', reap)
    clearInterval(timer)
  }
}
