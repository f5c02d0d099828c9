/** Completion by the shells themselves: keys are typed into a terminal, and what the command is given is looked at. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { EXTENSIONS } from '../dist/loader/target.js'
import { OPTION_KEYS, entryOf, flagOf } from '../dist/options.js'
import { SHELLS } from '../dist/options/arguments.js'
import { APPLICATION_EXTENSIONS } from '../dist/options/completion/flags.js'
import { cleanEnv, runCli } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'
import { onTeardown } from './harness/teardown.ts'

import type { OptionKey } from '../dist/options.js'
import type { Shell } from '../dist/options/arguments.js'

const FILES = {
  'app.js': '',
  'server.ts': '',
  'a b.mjs': '',
  'notes.txt': '',
  'sub/x.js': '',
  'gneiss.config.json': '',
  '.env': '',
}
const FLAGGED = OPTION_KEYS.filter((key) => entryOf(key).positional !== true)

/** A terminal for a shell is what `script` makes; where it has other arguments, these tests have no terminal. */
const hasTerminal = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true

function isThere(shell: Shell): boolean {
  return spawnSync(shell, ['--version']).error === undefined
}

/** A folder with files to complete and the script for a shell, as `gneiss --completion` prints it. */
async function folderFor(shell: Shell): Promise<string> {
  const { code, stdout, stderr } = await runCli(['--completion', shell])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const folder = folderWith(FILES)
  writeFileSync(join(folder, '.completion'), stdout)
  return folder
}

/** Types each text behind the command, with a return at its end; gives back the arguments, separated by `|`. */
async function typed(shell: 'bash' | 'zsh', texts: readonly string[]): Promise<string[]> {
  const folder = await folderFor(shell)
  const program = { bash: 'bash --norc --noprofile -i', zsh: 'zsh -f -i' }[shell]
  const child = spawn('script', ['-qec', program, '/dev/null'], {
    cwd: folder,
    env: cleanEnv({ TERM: 'dumb', HOME: folder, PS1: '> ', INPUTRC: '/dev/null', LC_ALL: 'C.UTF-8' }),
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => {
    child.once('close', resolve)
  })
  onTeardown('processes', async () => {
    child.kill()
    await ended
  })
  let output = ''
  let heard = (): void => {}
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    heard()
  })
  // A shell throws away what is typed before it asks for it.
  const until = (mark: string): Promise<void> =>
    new Promise((resolve) => {
      heard = () => {
        if (output.includes(mark)) resolve()
      }
      heard()
    })
  const prepare = {
    bash: "bind 'set bell-style none'",
    zsh: 'unsetopt beep; autoload -Uz compinit; compinit -D -u; PROMPT_EOL_MARK=',
  }[shell]
  const show = `gneiss() { local IFS='|'; printf '<<%s>>\\n' "$*"; }`
  await until('> ')
  child.stdin.write(`${prepare}; source ./.completion; ${show}; printf 'rea%s\\n' dy\n`)
  await until('ready')
  const answers: string[] = []
  for (const text of texts) {
    output = output.slice(output.lastIndexOf('>>') + 1)
    await until('> ')
    output = ''
    child.stdin.write(`gneiss ${text}\n`)
    await until('>>')
    answers.push(output.slice(output.lastIndexOf('<<') + 2, output.lastIndexOf('>>')))
  }
  child.stdin.write('exit\n')
  await ended
  return answers
}

/**
 * What is typed, and what the command is given, but for what joins a flag and its value. Where zsh has habits of
 * its own, a third text: it cuts the slash at the end of a word, and takes any name where none has the right ending.
 */
const TYPED: readonly (readonly [string, string, string?])[] = [
  ['--interf\tasg\t', '--interface asgi'],
  ['--interface=asg\t', '--interface asgi'],
  ['--runtime-mode th\t', '--runtime-mode thread'],
  ['-w au\t', '-w auto'],
  ['--print-config=js\t', '--print-config json'],
  ['--no-fac\tap\t', '--no-factory app.js'],
  ['--completion zs\t', '--completion zsh'],
  ['ap\t', 'app.js'],
  ['su\tx\t', 'sub/x.js'],
  ['a\\ b\t', 'a b.mjs'],
  ['no\t', 'no', 'notes.txt'],
  ['-c no\t', '-c notes.txt'],
  ['--env-file .en\t', '--env-file .env'],
  ['--chdir su\t', '--chdir sub/', '--chdir sub'],
  ['--chdir ap\t', '--chdir ap', '--chdir app.js'],
  ['--bind 127\t', '--bind 127.0.0.1:8000'],
  ['--bind unix:ap\t', '--bind unix:app.js'],
  ['--keep-alive ap\t', '--keep-alive ap'],
  ['--interface asgi ser\t', '--interface asgi server.ts'],
  ['-- -ap\t', '-- -ap'],
]

describe.each(['bash', 'zsh'] as const)('%s (needs it, and script of util-linux)', (shell) => {
  test.skipIf(!hasTerminal || !isThere(shell))('completes what is typed into a terminal', async () => {
    const answers = await typed(
      shell,
      TYPED.map(([keys]) => keys),
    )
    const plain = answers.map((text) => text.replaceAll('|', ' ').replace(/(--[\w-]+)=/, '$1 '))
    expect(plain).toEqual(TYPED.map(([, given, byZsh]) => (shell === 'zsh' ? (byZsh ?? given) : given)))
  })
})

describe.skipIf(!isThere('bash'))('bash (needs it)', () => {
  test('offers every flag, and for each what its value may be', async () => {
    const folder = await folderFor('bash')
    const offered = offeredByBash(folder, [
      ['-'],
      ...FLAGGED.map((key) => [`--${flagOf(key)}`, ...attached(key), '']),
      [''],
    ])
    expect(offered.shift()?.toSorted()).toEqual(everyFlag())
    expect(offered.pop()?.toSorted()).toEqual(['a b.mjs', 'app.js', 'server.ts', 'sub'])
    expect(Object.fromEntries(FLAGGED.map((key, index) => [key, offered[index]?.toSorted()]))).toEqual(
      expectedValues('sub'),
    )
  })
})

describe.skipIf(!isThere('fish'))('fish (needs it)', () => {
  test('offers every flag, and for each what its value may be', async () => {
    const folder = await folderFor('fish')
    const lines = [
      '--',
      '-',
      ...FLAGGED.map((key) => `--${flagOf(key)}${attached(key).length > 0 ? '=' : ' '}`),
      '',
      '-b unix:a',
    ]
    const offered = offeredByFish(folder, lines)
    const longs = (offered.shift() ?? []).filter((name) => !name.endsWith('='))
    const shorts = (offered.shift() ?? []).filter((name) => name.length === 2)
    expect([...longs, ...shorts].toSorted()).toEqual(everyFlag())
    expect(offered.pop()).toEqual(['unix:a b.mjs', 'unix:app.js'])
    expect(offered.pop()?.toSorted()).toEqual(['a b.mjs', 'app.js', 'server.ts', 'sub/'])
    const values = offered.map((words) => words.map((word) => word.replace(/^--[\w-]+=/, '')).toSorted())
    expect(Object.fromEntries(FLAGGED.map((key, index) => [key, values[index]]))).toEqual(expectedValues('sub/'))
  })
})

describe('--completion', () => {
  test.each(SHELLS)('for %s may be written with = and needs no application', async (shell) => {
    const { stdout } = await runCli(['--completion', shell])
    expect(await runCli([`--completion=${shell}`, '--wrokers'])).toMatchObject({ code: 0, stdout, stderr: '' })
    expect(stdout).toContain(`# Completion of gneiss for ${shell}.`)
  })

  test.each([
    [['--completion', 'tcsh'], '--completion is "tcsh"; it must be one of bash|zsh|fish'],
    [['--completion'], '--completion needs a value; it must be one of bash|zsh|fish'],
    [['--completoin', 'bash'], 'unknown option --completoin; did you mean --completion?'],
  ])('%j is refused', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args)
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: `gneiss: ${message} [ERR_OPTION]\n` })
  })

  test('takes for an application what may be one', () => {
    expect(EXTENSIONS.filter((ending) => !APPLICATION_EXTENSIONS.includes(ending.slice(1) as never))).toEqual([])
  })
})

/** Runs the function of the script on words as bash cuts them. */
function offeredByBash(folder: string, commands: readonly (readonly string[])[]): string[][] {
  const script = `source ./.completion
    offer() { COMP_WORDS=(gneiss "$@"); COMP_CWORD=$#; _gneiss 2> /dev/null; printf '%s\\n' "\${COMPREPLY[@]}" --end--; }
    ${commands.map((words) => `offer ${words.map((word) => `'${word}'`).join(' ')}`).join('\n')}`
  return groups(execFileSync('bash', ['--norc', '-c', script], { cwd: folder, encoding: 'utf8', env: cleanEnv() }))
}

function offeredByFish(folder: string, lines: readonly string[]): string[][] {
  const script = `source ./.completion
    ${lines.map((line) => `complete -C 'gneiss ${line}'; echo -- --end--`).join('\n')}`
  const env = cleanEnv({ HOME: folder, TERM: 'dumb' })
  const output = execFileSync('fish', ['--no-config', '-c', script], { cwd: folder, encoding: 'utf8', env })
  return groups(output.replaceAll(/\t.*$/gm, ''))
}

/** Hidden files are offered by some of them. */
function groups(output: string): string[][] {
  return output
    .split('--end--\n')
    .slice(0, -1)
    .map((text) => text.split('\n').filter((line) => line !== '' && !line.startsWith('.')))
}

/** A value that only follows = is a word of its own to bash. */
function attached(key: OptionKey): string[] {
  return entryOf(key).implied === undefined ? [] : ['=']
}

function everyFlag(): string[] {
  const names = FLAGGED.flatMap((key) => {
    const { short, type } = entryOf(key)
    const flag = flagOf(key)
    return [`--${flag}`, ...(type === 'boolean' ? [`--no-${flag}`] : []), ...(short === undefined ? [] : [`-${short}`])]
  })
  return [...names, '--help', '-h', '--version', '-v', '--completion'].toSorted()
}

/** By the type in the table: words, files, or nothing; behind a switch comes the application. */
function expectedValues(directory: string): Record<string, string[]> {
  const all = ['a b.mjs', 'app.js', 'gneiss.config.json', 'notes.txt', 'server.ts', directory]
  const apps = ['a b.mjs', 'app.js', 'server.ts', directory]
  const named: Partial<Record<OptionKey, string[]>> = {
    bind: ['0.0.0.0:8000', '127.0.0.1:8000', 'unix:'],
    chdir: [directory],
    accessLog: all,
    config: all,
    errorLog: all,
    pidfile: all,
    envFiles: all,
    imports: all,
  }
  return Object.fromEntries(
    FLAGGED.map((key) => {
      const { type, values = [], words = [] } = entryOf(key)
      if (type === 'boolean') return [key, apps]
      return [key, named[key] ?? [...values, ...words].toSorted()]
    }),
  )
}
