"""The completion for zsh. Pure."""

from __future__ import annotations

from cputune.docgen.tree import Argument, Command, Kind, Option, Value

_TEMPLATE = r"""#compdef cputune
@NOTICE@

# Offer the names of the existing domains: cputune lists them itself, given the words before the cursor.
_cputune_domains() {
    [[ $PREFIX == -* ]] && return 1
    local -a names
    names=(${(f)"$(COMP_WORDS=$typed[*] COMP_CWORD=$#typed _CPUTUNE_COMPLETE=bash_complete \
        $typed[1] 2>/dev/null)"})
    names=(${${(M)names:#plain,*}#plain,})
    _wanted domains expl domain compadd -a names
}

_cputune_commands() {
    local -a commands=(
@COMMANDS@
    )
    _describe -t commands command commands
}

# Complete the command line after `cputune run`, as the shell does.
_cputune_delegate() {
    [[ $words[1] == -- ]] && shift words && (( CURRENT-- ))
    _normal
}

_cputune() {
    local -a line typed=($words[1,CURRENT-1])
    local -A opt_args
    local curcontext=$curcontext context state state_descr ret=1
    _arguments -C -S \
@TOP@
        '(-)1: :_cputune_commands' '*:: :->arguments' && ret=0
    [[ $state == arguments ]] || return ret
    case $line[1] in
@CASES@
    esac
    return ret
}

_cputune "$@"
"""


def render(notice: str, top: Command, commands: list[Command]) -> str:
    """Return the script; zsh requires #compdef in its first line."""
    listed = [f"        {_quoted(f'{command.name}:{command.summary.rstrip(chr(46))}')}" for command in commands]
    return (
        _TEMPLATE.replace("@NOTICE@", notice)
        .replace("@COMMANDS@", "\n".join(listed))
        .replace("@TOP@", "\n".join(f"        {spec} \\" for option in top.options for spec in _specs(option)))
        .replace("@CASES@", "\n".join(map(_case, commands)))
    )


def _case(command: Command) -> str:
    specs = [spec for option in command.options for spec in _specs(option)]
    for number, argument in enumerate(command.arguments, 1):
        specs += map(_quoted, _argument_specs(argument, number))
    body = " \\\n".join(f"                {spec}" for spec in specs)
    return f"        {command.name})\n            _arguments -S \\\n{body} && ret=0\n            ;;"


def _specs(option: Option) -> list[str]:
    """Return a specification for each name of an option. Its names, and those of its opposite, exclude each other."""
    names = (*option.names, *option.opposites)
    exclude = "" if option.multiple or len(names) == 1 else f"({' '.join(names)})"
    star = "*" if option.multiple else ""
    equals, value = ("=", f":{option.value.metavar}:{_action(option.value)}") if option.value else ("", "")
    text = option.brief
    for letter in r"\[]:":
        text = text.replace(letter, f"\\{letter}")
    return [_quoted(f"{exclude}{star}{name}{equals}[{text}]{value}") for name in names]


def _argument_specs(argument: Argument, number: int) -> list[str]:
    if argument.value.kind is Kind.COMMAND:
        return [f"(-){number}:command:_command_names -e", "*::argument:_cputune_delegate"]
    return [f"{'*' if argument.repeats else number}:{_label(argument.value)}:{_action(argument.value)}"]


def _label(value: Value) -> str:
    return "domain" if value.kind is Kind.DOMAIN else "assignment"


def _action(value: Value) -> str:
    match value.kind:
        case Kind.DIRECTORY:
            return "_files -/"
        case Kind.DOMAIN:
            return "_cputune_domains"
        case Kind.ASSIGNMENT:
            return f"{{compadd -S '' -- {' '.join(value.words)}}}"
        case _:
            return f"({' '.join(value.words)})" if value.words else " "


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
