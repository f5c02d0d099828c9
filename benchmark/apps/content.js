/**
 * What every application answers with, so that all servers of a scenario send the same bytes.
 */
import { pbkdf2Sync } from 'node:crypto'

/** The body of the hello scenarios. */
export const HELLO = 'Hello, World!'

/** One piece of the small streams. */
export const KILOBYTE = Buffer.alloc(1024, 'x')

/** One piece of the large stream. */
export const SIXTY_FOUR_KILOBYTES = Buffer.alloc(65_536, 'x')

/** Pieces of a small and of the large stream. */
export const PIECES = { small: 10, large: 100 }

/** The object of the JSON scenario; made anew for each request, as an application would. */
export function greeting() {
  return { message: HELLO, language: 'en', tags: ['plain', 'short'], count: 3, ready: true }
}

/** Every handler reads one request header: a server that only answers a constant would hide that cost. */
export function needHost(host) {
  if (!host) throw new Error('the request has no host header')
}

const WORK = JSON.stringify({
  items: Array.from({ length: 11 }, (_, index) => ({ id: index, label: `item number ${index}`, price: index * 1.25 })),
})

/** About 10 µs of JSON on the machines of 2026: parsed and printed for each request. */
export function computed() {
  return JSON.parse(WORK)
}

/** About 1 ms of hashing on the machines of 2026: what a login costs, if it is cheap. */
export function hashed() {
  return pbkdf2Sync('password', 'salt', 2000, 32, 'sha256').toString('hex')
}
