"""The completion for bash. Pure."""

from __future__ import annotations

import shlex

from cputune.docgen.tree import Command, Kind, Option, Value, takers

_TEMPLATE = r"""@NOTICE@
# shellcheck shell=bash

# What fits at one place, a candidate a line. $1: the command; $2: "options", the option whose value is asked for,
# or how many arguments stand before. All of it is fixed, except the names of domains.
_cputune_fitting() {
    case $1:$2 in
@CASES@
    esac
}

# The names of the domains that are there now, from cputune itself, which is given the words before the cursor.
_cputune_domains() {
    COMP_WORDS="${words[*]:0:${#words[@]}-1}" COMP_CWORD=${#words[@]} _CPUTUNE_COMPLETE=bash_complete \
        "${words[0]}" 2>/dev/null | sed -n 's/^plain,//p'
}

# COMP_WORDS up to the cursor, but with a name that has colons in it as one word, as the shell will pass it on.
# words: those words; places: where each begins in COMP_WORDS; head: the part of the last one that readline keeps.
_cputune_split() {
    local line=${COMP_LINE:0:COMP_POINT} at word
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ $at == 0 || $line == [[:space:]]* ]]; then
            line=${line#"${line%%[![:space:]]*}"}
            words+=('') places+=("$at") head=
        else
            head=${words[-1]}
        fi
        [[ $line == "$word"* ]] || word=$line
        words[-1]+=$word
        line=${line#"$word"}
    done
    # Readline begins anew behind a character of COMP_WORDBREAKS, of which a colon is one; with @ and $ at them.
    [[ -n $word && -z ${word//["$COMP_WORDBREAKS"]/} ]] && head=${words[-1]}
    head=${head%[@$]}
}

# Offer the lines of stdin that go on from what is typed. $1 stands before each of them.
# Where read has no -r, it is to take the backslashes away, as the shell does.
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

# The command after `cputune run`, which begins in COMP_WORDS at $1: as the shell completes commands.
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
    local IFS=$' \t\n' words=() places=() head='' command='' count=0 option='' ended='' at cur place
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
            @TAKERS@) option=${words[at]} ;;
            -*) ;;
            *) if [[ ! $command ]]; then command=${words[at]}; else ((count += 1)); fi ;;
        esac
        if [[ $count == 1 && $command == @DELEGATING@ ]]; then
            _cputune_delegate "${places[at]}"
            return
        fi
    done
    place=$count
    if [[ $option ]]; then
        place=$option
    elif [[ ! $ended && $cur == --*=* ]]; then
        place=${cur%%=*} option=$place=
    elif [[ ! $ended && $cur == -* ]]; then
        place=options
    elif [[ $command == @DELEGATING@ ]]; then
        _cputune_delegate "${places[-1]}"
        return
    fi
    case $place in
        @DIRECTORIES@)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "${cur#"$head"}")
            return
            ;;
    esac
    [[ $option == *= ]] || option=
    _cputune_offer "$option" < <(_cputune_fitting "$command" "$place")
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
}

complete -F _cputune cputune
"""


def render(notice: str, top: Command, commands: list[Command]) -> str:
    """The script."""
    directories = _with(Kind.DIRECTORY, top, commands)
    delegating = [command.name for command in commands if command.delegates]
    return (
        _TEMPLATE.replace("@NOTICE@", notice)
        .replace("@CASES@", "\n".join(_cases(top, commands)))
        .replace("@TAKERS@", " | ".join(takers(top, commands)))
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
