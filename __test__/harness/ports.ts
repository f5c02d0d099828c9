/** Ports for servers whose address must be known before they say it. */
import { createServer } from 'node:net'

/** A port that nobody has, from `from` on if that is given. */
export async function freePort(from = 0): Promise<number> {
  for (let port = from; ; port++) {
    const found = await tryToListen(port)
    if (found !== undefined) return found
  }
}

function tryToListen(port: number): Promise<number | undefined> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const { port: found } = server.address() as { port: number }
      server.close(() => resolve(found))
    })
  })
}
