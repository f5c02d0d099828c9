/**
 * What a process and its descendants have used, read from /proc. Linux only.
 */
import { readFileSync, readdirSync } from 'node:fs'

/** Microseconds of a clock tick: USER_HZ is 100 on every Linux that Node runs on. */
const TICK = 10_000

/**
 * CPU used so far by the process and all its descendants, in microseconds.
 *
 * `total` and its parts `js` (main threads, which run the JavaScript) and `other` (all other threads) come from the
 * scheduler's nanosecond clock, because ticks of 10 ms are one percent of a two-second window. `user` and `system` are
 * the kernel's own split in ticks.
 */
export function cpuOf(pid) {
  const used = { total: 0, js: 0, other: 0, user: 0, system: 0 }
  for (const member of treeOf(pid)) {
    const stat = statOf(`/proc/${member}/stat`)
    used.user += stat.user
    used.system += stat.system
    for (const task of readdirSync(`/proc/${member}/task`)) {
      const time = taskTime(`/proc/${member}/task/${task}`)
      used[Number(task) === member ? 'js' : 'other'] += time
      used.total += time
    }
  }
  return used
}

/** What was used between two readings. */
export function cpuBetween(before, after) {
  return Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - before[key]]))
}

/** Time of all processors of the machine so far, in microseconds: all of it, and what a hypervisor gave to others. */
export function machineTime() {
  const times = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].split(/ +/).slice(1, 9).map(Number)
  return { all: times.reduce((sum, time) => sum + time, 0) * TICK, stolen: times[7] * TICK }
}

/** Largest resident size the process and its descendants had, in bytes: the sum of each one's peak. */
export function peakRssOf(pid) {
  return sumOf(pid, 'VmHWM')
}

/** Resident size of the process and its descendants now, in bytes. */
export function rssOf(pid) {
  return sumOf(pid, 'VmRSS')
}

/** CPU of this process's children that have ended and were waited for, in microseconds. */
export function childrenCpu() {
  return statOf('/proc/self/stat').children
}

function sumOf(pid, field) {
  let bytes = 0
  for (const member of treeOf(pid)) {
    const line = readFileSync(`/proc/${member}/status`, 'utf8')
      .split('\n')
      .find((text) => text.startsWith(`${field}:`))
    bytes += Number.parseInt(line.slice(field.length + 1), 10) * 1024
  }
  return bytes
}

function treeOf(root) {
  const children = new Map()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    try {
      const { parent } = statOf(`/proc/${pid}/stat`)
      children.set(parent, [...(children.get(parent) ?? []), pid])
    } catch {
      // It ended between the listing and the reading.
    }
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

function taskTime(folder) {
  const [nanoseconds] = readFileSync(`${folder}/schedstat`, 'utf8').split(' ', 1)
  // A kernel without scheduler statistics says 0 for everything.
  if (nanoseconds !== '0') return Number(nanoseconds) / 1000
  const stat = statOf(`${folder}/stat`)
  return stat.user + stat.system
}

function statOf(file) {
  const text = readFileSync(file, 'utf8')
  // The second field is the command in brackets and may hold anything, so counting starts after the last bracket.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const ticks = (at) => fields[at] * TICK
  return { parent: fields[1], user: ticks(11), system: ticks(12), children: ticks(13) + ticks(14) }
}
