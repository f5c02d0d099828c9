/** Completion for bash, from 3.2 on, which is the one of macOS: no `mapfile`, and `compopt` only where it exists. */
import { ADDRESSES, APPLICATION_EXTENSIONS } from './flags.ts'

import type { CompletionFlag, FlagValue } from './flags.ts'

/** The script, for `eval "$(gneiss --completion bash)"`. */
export function formatBash(flags: readonly CompletionFlag[]): string {
  const names = flags.flatMap(namesOf)
  return `# Completion of gneiss for bash. In ~/.bashrc: eval "$(gneiss --completion bash)"

_gneiss() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD word flag= attached= files=
  COMPREPLY=()
  # Bash cuts words at = and : as well as at blanks.
  if [[ $cur == = || $cur == : ]]; then cur=; else at=$((at - 1)); fi
  case \${COMP_WORDS[at]} in
    :)
      # A path follows unix:, nothing that could be guessed follows another colon.
      if [[ \${COMP_WORDS[at - 1]} == unix ]]; then _gneiss_paths -f "$cur"; fi
      return
      ;;
    =) flag=\${COMP_WORDS[at - 1]} attached=1 ;;
    -*) flag=\${COMP_WORDS[at]} ;;
  esac
  for word in "\${COMP_WORDS[@]:1:at}"; do
    if [[ $word == -- ]]; then files=1 flag=; fi
  done
  if [[ -n $attached ]]; then
    case $flag in
${arms(flags.filter(({ value }) => value?.isAttached === true))}
${arm(switchesOf(flags), '_gneiss_words "$cur" on off')}
    esac
  fi
  case $flag in
${arms(flags.filter(({ value }) => value?.isAttached === false))}
  esac
  if [[ -n $attached ]]; then return; fi
  if [[ -z $files && $cur == -* ]]; then
    _gneiss_words "$cur" ${names.join(' ')}
  else
    _gneiss_paths -d "$cur"
    _gneiss_paths -f "$cur" ${APPLICATION_EXTENSIONS.join(' ')}
  fi
}

_gneiss_words() {
  local cur=$1 word
  shift
  for word; do
    if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
  done
  # An address begins with unix: and goes on.
  if [[ \${COMPREPLY[0]} == *: ]] && type compopt > /dev/null 2>&1; then compopt -o nospace 2> /dev/null; fi
}

# Directories (-d) or files (-f), with one of the endings if there are any.
_gneiss_paths() {
  local kind=$1 cur=$2 path ending
  shift 2
  if type compopt > /dev/null 2>&1; then compopt -o filenames 2> /dev/null; fi
  while IFS= read -r path; do
    if [[ $# -eq 0 ]]; then COMPREPLY+=("$path"); fi
    for ending; do
      if [[ $path == *."$ending" && ! -d $path ]]; then COMPREPLY+=("$path"); fi
    done
  done < <(compgen "$kind" -- "$cur")
}

complete -F _gneiss gneiss
`
}

function namesOf({ name, short }: CompletionFlag): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${name}`]
}

function switchesOf(flags: readonly CompletionFlag[]): string[] {
  const switches = flags.filter(({ name, value, excludes }) => value === undefined && excludes.includes(`no-${name}`))
  return switches.flatMap(namesOf)
}

/** One arm for each thing to do. */
function arms(flags: readonly CompletionFlag[]): string {
  const names = new Map<string, string[]>()
  for (const flag of flags) {
    if (flag.value === undefined) continue
    const command = commandOf(flag.value)
    names.set(command, [...(names.get(command) ?? []), ...namesOf(flag)])
  }
  return Array.from(names, ([command, all]) => arm(all, command)).join('\n')
}

function arm(names: readonly string[], command: string): string {
  return `    ${names.join(' | ')}) ${command}; return ;;`
}

function commandOf({ kind, words }: FlagValue): string {
  switch (kind) {
    case 'address':
      return `_gneiss_words "$cur" ${ADDRESSES.join(' ')}`
    case 'directory':
      return '_gneiss_paths -d "$cur"'
    case 'file':
      return '_gneiss_paths -f "$cur"'
    case 'words':
      return `_gneiss_words "$cur" ${words.join(' ')}`
    case 'free':
      return ':'
  }
}
