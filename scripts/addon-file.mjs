/** Reads from the bytes of an addon which system it is for, so that none is packed under a wrong name. */

const ELF_MACHINES = new Map([
  [62, 'x64'],
  [183, 'arm64'],
])
const MACH_O_PROCESSORS = new Map([
  [0x0100_0007, 'x64'],
  [0x0100_000c, 'arm64'],
])
const PE_MACHINES = new Map([[0x8664, 'x64']])

/**
 * What an addon says of itself.
 * @typedef {object} AddonFacts
 * @property {string} system As in `gneiss.<system>.node`; `unknown` for what is no addon for any system of ours.
 * @property {string | undefined} glibc Oldest glibc that it can be loaded with, such as `2.17`.
 */

/**
 * @param {Buffer} bytes A whole file.
 * @returns {AddonFacts}
 */
export function readAddon(bytes) {
  const glibc = newestGlibc(bytes)
  return { system: bytes.length < 64 ? 'unknown' : systemOf(bytes, glibc !== undefined), glibc }
}

/**
 * Whether an addon asks for a newer glibc than another one.
 * @param {string} version
 * @param {string} limit
 */
export function isNewerGlibc(version, limit) {
  return compareVersions(version, limit) > 0
}

/**
 * @param {Buffer} bytes
 * @param {boolean} hasGlibc
 */
function systemOf(bytes, hasGlibc) {
  if (bytes.readUInt32BE(0) === 0x7f45_4c46) {
    const cpu = ELF_MACHINES.get(bytes.readUInt16LE(18))
    return cpu === undefined ? 'unknown' : `linux-${cpu}-${hasGlibc ? 'gnu' : 'musl'}`
  }
  if (bytes.readUInt32LE(0) === 0xfeed_facf) {
    const cpu = MACH_O_PROCESSORS.get(bytes.readUInt32LE(4))
    return cpu === undefined ? 'unknown' : `darwin-${cpu}`
  }
  if (bytes.readUInt16BE(0) === 0x4d5a) {
    const header = bytes.readUInt32LE(0x3c)
    const isHeader = header + 6 <= bytes.length && bytes.readUInt32BE(header) === 0x5045_0000
    const cpu = isHeader ? PE_MACHINES.get(bytes.readUInt16LE(header + 4)) : undefined
    return cpu === undefined ? 'unknown' : `win32-${cpu}-msvc`
  }
  return 'unknown'
}

/**
 * The names of symbol versions stand in the string table.
 * @param {Buffer} bytes
 */
function newestGlibc(bytes) {
  const versions = Array.from(bytes.toString('latin1').matchAll(/\0GLIBC_(\d+\.\d+)/g), ([, version = '']) => version)
  return versions.toSorted(compareVersions).at(-1)
}

/**
 * @param {string} left
 * @param {string} right
 */
function compareVersions(left, right) {
  const [major = 0, minor = 0] = left.split('.').map(Number)
  const [otherMajor = 0, otherMinor = 0] = right.split('.').map(Number)
  return major - otherMajor || minor - otherMinor
}
