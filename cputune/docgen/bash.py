"""The completion for bash. Pure."""

from __future__ import annotations

import shlex

from cputune.docgen.tree import Command, Kind, Option, Value, options_with_value

_TEMPLATE = r"""@NOTICE@
# shellcheck shell=bash

# Print the candidates for a position, one a line. $1: the command; $2: "options", the option whose value is wanted, or
# the number of arguments before. All of them are fixed, except the names of domains.
_cputune_candidates() {
    case $1:$2 in
@CASES@
    esac
}

# Print the names of the existing domains: cputune lists them itself, given the words before the cursor.
_cputune_domains() {
    COMP_WORDS="${words[*]:0:${#words[@]}-1}" COMP_CWORD=${#words[@]} _CPUTUNE_COMPLETE=bash_complete \
        "${words[0]}" 2>/dev/null | sed -n 's/^plain,//p'
}

# Split the line up to the cursor into words as the shell will, so that a name with colons is one word, unlike in
# COMP_WORDS. Sets words; starts: where each begins in COMP_WORDS; head: the part of the last one that readline keeps.
_cputune_split() {
    local line=${COMP_LINE:0:COMP_POINT} at word
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ $at == 0 || $line == [[:space:]]* ]]; then
            line=${line#"${line%%[![:space:]]*}"}
            words+=('') starts+=("$at") head=
        else
            head=${words[-1]}
        fi
        [[ $line == "$word"* ]] || word=$line
        words[-1]+=$word
        line=${line#"$word"}
    done
    # Readline starts a new word after a character of COMP_WORDBREAKS, such as a colon, but at @ and $ themselves.
    [[ -n $word && -z ${word//["$COMP_WORDBREAKS"]/} ]] && head=${words[-1]}
    head=${head%[@$]}
}

# Offer the lines of stdin that begin with what has been typed, each with $1 in front.
# read without -r removes backslashes, as the shell does.
# shellcheck disable=SC2162
_cputune_offer() {
    local line typed=$cur kept=$head quote=
    case $cur in
        [\'\"]*) quote=${cur:0:1} typed=${cur:1} kept= ;;
        *[\'\"]*) return ;;
        *)
            IFS= read typed <<<"$cur"
            IFS= read kept <<<"$head"
            ;;
    esac
    while IFS= read -r line; do
        line=$1$line
        [[ $line == "$typed"* ]] || continue
        line=${line:${#kept}}
        case $quote in
            '') printf -v line %q "$line" ;;
            \') [[ $line != *\'* ]] || continue ;;
            \") [[ $line != *[\"\$\`\\!]* ]] || continue ;;
        esac
        COMPREPLY+=("$line")
    done
}

# Complete the command line after `cputune run`, which begins at word $1 of COMP_WORDS, as the shell does.
_cputune_delegate() {
    local function
    for function in _comp_command_offset _command_offset; do
        if declare -F "$function" >/dev/null; then
            "$function" "$1"
            return
        fi
    done
    compopt -o default 2>/dev/null
    [[ $1 != "$COMP_CWORD" || $cur == */* ]] || mapfile -t COMPREPLY < <(compgen -c -- "$cur")
}

_cputune() {
    local IFS=$' \t\n' words=() starts=() head='' command='' count=0 option='' ended='' at cur position
    COMPREPLY=()
    _cputune_split
    cur=${words[-1]}
    for ((at = 1; at < ${#words[@]} - 1; at++)); do
        if [[ $option ]]; then
            option=
            continue
        fi
        case $ended${words[at]} in
            --) ended=yes ;;
            @WITH_VALUE@) option=${words[at]} ;;
            -*) ;;
            *) if [[ ! $command ]]; then command=${words[at]}; else ((count += 1)); fi ;;
        esac
        if [[ $count == 1 && $command == @DELEGATING@ ]]; then
            _cputune_delegate "${starts[at]}"
            return
        fi
    done
    position=$count
    if [[ $option ]]; then
        position=$option
    elif [[ ! $ended && $cur == --*=* ]]; then
        position=${cur%%=*} option=$position=
    elif [[ ! $ended && $cur == -* ]]; then
        position=options
    elif [[ $command == @DELEGATING@ ]]; then
        _cputune_delegate "${starts[-1]}"
        return
    fi
    case $position in
        @DIRECTORIES@)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "${cur#"$head"}")
            return
            ;;
    esac
    [[ $option == *= ]] || option=
    _cputune_offer "$option" < <(_cputune_candidates "$command" "$position")
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
}

complete -F _cputune cputune
"""


def render(notice: str, top: Command, commands: list[Command]) -> str:
    """Return the script."""
    directories = _with(Kind.DIRECTORY, top, commands)
    delegating = [command.name for command in commands if command.delegates]
    return (
        _TEMPLATE.replace("@NOTICE@", notice)
        .replace("@CASES@", "\n".join(_cases(top, commands)))
        .replace("@WITH_VALUE@", " | ".join(options_with_value(top, commands)))
        .replace("@DELEGATING@", _either(delegating))
        .replace("@DIRECTORIES@", " | ".join(option.names[0] for option in directories))
    )


def _cases(top: Command, commands: list[Command]) -> list[str]:
    cases = [_case(":0", [command.name for command in commands])]
    for command in (top, *commands):
        names = [name for option in command.options for name in (*option.names, *option.opposites)]
        cases.append(_case(f"{command.name}:options", names))
        for option in command.options:
            if option.value and option.value.words:
                cases.append(_case(f"{command.name}:{option.names[0]}", option.value.words))
        for at, argument in enumerate(command.arguments):
            pattern = f"{command.name}:{f'[{at}-9]*' if argument.repeats else at}"
            if argument.value.kind is Kind.DOMAIN:
                cases.append(f"        {pattern}) _cputune_domains ;;")
            elif argument.value.words:
                cases.append(_case(pattern, argument.value.words))
    return cases


def _case(pattern: str, words: list[str] | tuple[str, ...]) -> str:
    return rf"        {pattern}) printf '%s\n' {' '.join(map(shlex.quote, words))} ;;"


def _with(kind: Kind, top: Command, commands: list[Command]) -> list[Option]:
    options = [option for command in (top, *commands) for option in command.options]
    return [option for option in options if isinstance(option.value, Value) and option.value.kind is kind]


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"@({'|'.join(words)})"
