// uWebSockets.js: `node uws.js PORT APP`. The binary is loaded directly: the package's main file would fall back to
// a slow JavaScript imitation without telling.
import { createRequire } from 'node:module'

import * as apps from '../apps/uws.js'

const [port, app] = process.argv.slice(2)
const binaries = '../rivals/node_modules/@trufflesuite/uws-js-unofficial/binaries/'
const { platform, arch, versions } = process
const uws = createRequire(import.meta.url)(`${binaries}uws_${platform}_${arch}_${versions.modules}.node`)
const server = uws.App({})
apps[app](server)
server.listen('127.0.0.1', Number(port), (socket) => {
  if (!socket) throw new Error(`port ${port} could not be bound`)
})
