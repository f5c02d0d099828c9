/** The file of the server's own log. */
import { chmodSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { runCli, startCli } from './harness/cli.ts'
import { request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, POOL, pidOf } from './harness/pool.ts'

const APP = `export default { __rsgi__(scope, protocol) {
  if (scope.path === '/throw') throw new Error('thrown by a handler')
  protocol.responseStr(200, [], String(process.pid))
} }`

async function written(file: string, text: string): Promise<string> {
  for (;;) {
    const all = statSync(file, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(file, 'utf8')
    if (all.includes(text)) return all
    await turns(1)
  }
}

describe.each(['0', '1'])('with --workers %s, an error log', (workers) => {
  test('takes what everybody logs, and is opened anew at SIGUSR1', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    const file = join(cwd, 'error.log')
    const cli = await startCli(['app.mjs', ...LOCAL, '-w', workers, '--error-log', 'error.log'], { cwd })
    const worker = await pidOf(cli)
    await request(cli, { path: '/throw' })
    const before = await written(file, 'Error: thrown by a handler')
    expect(before).toContain(`[${worker}] [error] unhandled error in the application (/throw)`)
    renameSync(file, join(cwd, 'error.log.1'))
    cli.child.kill('SIGUSR1')
    if (workers !== '0') await written(file, `[${cli.child.pid}] [info] SIGUSR1: log files are reopened`)
    // The worker is told after the master has opened its own.
    for (;;) {
      await request(cli, { path: '/throw' })
      await turns(1)
      if (statSync(file, { throwIfNoEntry: false }) !== undefined) break
    }
    while (!readFileSync(file, 'utf8').includes(`[${worker}] [error]`)) await request(cli, { path: '/throw' })
    const { stderr } = await cli.stop()
    expect(stderr).toBe('')
  })

  test('that cannot be opened ends the start with 2', async () => {
    const args = [POOL, ...LOCAL, '-w', workers, '--error-log', 'none/error.log']
    const { code, stdout, stderr } = await runCli(args, { cwd: folderWith({}) })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(
      /^gneiss: the error log none\/error\.log cannot be opened: ENOENT.*; name a file .* \[ERR_OPTION\]\n/,
    )
  })

  test.runIf(process.getuid?.() === 0)('belongs to the user', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    chmodSync(cwd, 0o755)
    const file = join(cwd, 'error.log')
    const options = ['-w', workers, '--error-log', file, '--user', '65534', '--group', '65533', '--chdir', '/']
    // The folder is that of root, and only the file is given away.
    const cli = await startCli([join(cwd, 'app.mjs'), ...LOCAL, ...options])
    await request(cli, { path: '/throw' })
    await written(file, 'Error: thrown by a handler')
    const { uid, gid } = statSync(file)
    expect({ uid, gid }).toEqual({ uid: 65_534, gid: 65_533 })
  })
})
