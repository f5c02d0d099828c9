/** A master that was started at a terminal: a window that changes its size, and one that is closed. */
import { spawn, spawnSync } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { ROOT, childrenOf, cleanEnv, watch } from './harness/cli.ts'
import { request } from './harness/client.ts'
import { LOCAL, POOL, logged } from './harness/pool.ts'

/** Runs a command at a terminal of its own, which it has by its input; what it writes goes where ours does. */
const TERMINAL = `import os, pty, sys
out, err = os.dup(1), os.dup(2)
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while os.read(terminal, 1024):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
`

describe.runIf(spawnSync('python3', ['-c', 'import pty']).status === 0)('at a terminal', () => {
  test('WINCH does nothing, and HUP is a graceful stop', async () => {
    const args = [process.execPath, `${ROOT}dist/cli.js`, POOL, ...LOCAL, '--log-level', 'debug']
    const child = spawn('python3', ['-c', TERMINAL, ...args], { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
    const { line, exit, output } = watch(child)
    const ready = await line('ready')
    const master = Number(ready['pid'])
    const [worker] = childrenOf(master)
    process.kill(master, 'SIGWINCH')
    expect((await request(String(ready['url']))).text).toBe(String(worker))
    // Were it heard, there would be none before.
    process.kill(master, 'SIGTTIN')
    await logged({ output }, '2 workers are wanted, 1 before')
    expect(childrenOf(master)).toContain(worker)
    process.kill(master, 'SIGHUP')
    expect((await exit).code).toBe(0)
    expect(output().stdout).toContain('"event":"stopped"')
    expect(output().stderr).not.toMatch(/\[(?:warn|error|critical)\]/)
  })
})
