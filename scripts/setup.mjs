/** Makes a checkout ready to run: installs and builds what is missing or stale, and nothing else. */
import { install } from './install.mjs'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const isSupported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24
if (!isSupported) throw new Error(`Node 20.19, 22.12 or 24 and later is needed; this is ${process.versions.node}`)

await install()
// Only now: the build needs what was just installed.
await import('./build.mjs')
