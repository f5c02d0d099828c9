/** Field names that mean something to JavaScript, and many of them: they are fields like any other. */
import { expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { request } from './harness/client.ts'

import type { RsgiProtocol, RsgiScope, Scope, Send } from '../dist/index.js'
import type { App } from './harness/app.ts'

const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'hasownproperty',
  'tostring',
  'then',
  '0',
  '1',
  '4294967295',
  '-1',
]
type Found = Record<string, string | null | undefined>

function lookUp(get: (name: string) => string | null | undefined): [string, string | null | undefined][] {
  return NAMES.map((name) => [name, get(name)])
}

const apps: Readonly<Record<string, App>> = {
  asgi: (async (scope: Scope, _receive: unknown, send: Send) => {
    if (scope.type !== 'http') return
    const found = lookUp((name) => scope.headers.find(([other]) => other === name)?.[1])
    await send({ type: 'http.response.start', status: 200 })
    await send({ type: 'http.response.body', body: JSON.stringify([found, scope.headers.length]) })
  }) as App,
  rsgi: {
    __rsgi__: ({ headers }: RsgiScope, protocol: RsgiProtocol) =>
      protocol.responseStr(200, [], JSON.stringify([lookUp((name) => headers.get(name)), headers.size])),
  },
  fetch: ({ headers }: Request) =>
    new Response(JSON.stringify([lookUp((name) => headers.get(name)), [...headers].length])),
}

/** Everything that a name could have changed for others. */
function surroundings(): string {
  const prototypes = [Object.prototype, Array.prototype, Function.prototype, Map.prototype]
  return JSON.stringify(prototypes.map((prototype) => Object.getOwnPropertyNames(prototype)))
}

test.each(Object.keys(apps))('%s hands them out, and no prototype changes', async (name) => {
  const before = surroundings()
  const server = await serveApp(apps[name] as App, { interface: name as 'asgi', lifespan: 'off' })
  const headers = NAMES.map((field) => [field, `value of ${field}`] as const)
  const expected = [NAMES.map((field) => [field, `value of ${field}`]), NAMES.length + 1]
  expect(JSON.parse((await request(server, { headers })).text)).toEqual(expected)
  // As many as there may be, with names like the indices of an array.
  const many = Array.from({ length: 99 - NAMES.length }, (_, index) => [String(index + 2), 'x'] as const)
  const [found, count] = JSON.parse((await request(server, { headers: [...headers, ...many] })).text) as [
    unknown,
    number,
  ]
  expect([found, count]).toEqual([expected[0], 100])
  // And nothing of the last request is there for the next one.
  const [none] = JSON.parse((await request(server)).text) as [[string, Found][]]
  expect(none.filter(([, value]) => value !== null && value !== undefined)).toEqual([])
  expect(surroundings()).toBe(before)
})
