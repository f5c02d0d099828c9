/** How many files this process may have open; what the default of `workerConnections` is made of. */
import { readSystemFile } from './system-file.ts'

/** Assumed where the system does not tell: what most of them grant. */
const COMMON_LIMIT = 1024

/** The soft limit of open descriptors. Node raises it to the hard limit when it starts. */
export function descriptorLimit(): number {
  const text = process.platform === 'linux' ? fromProc() : fromReport()
  if (text === 'unlimited') return Number.MAX_SAFE_INTEGER
  const limit = Number(text)
  return Number.isInteger(limit) && limit > 0 ? limit : COMMON_LIMIT
}

function fromProc(): string | undefined {
  const line = readSystemFile('/proc/self/limits')
    ?.split('\n')
    .find((row) => row.startsWith('Max open files'))
  return line?.slice('Max open files'.length).trim().split(' ')[0]
}

/** Slower than a file by far, but the only way to ask elsewhere; without the network part it does not wait for names. */
function fromReport(): string | undefined {
  // Newer than the types: 20.13, 22.0.
  const settings = process.report as unknown as { excludeNetwork?: boolean }
  const before = settings.excludeNetwork ?? false
  settings.excludeNetwork = true
  try {
    const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
    return String(report.userLimits?.open_files?.soft)
  } finally {
    settings.excludeNetwork = before
  }
}
