"""The completion for fish. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cputune.docgen.tree import Command, Kind, Option, Value, options_with_value

_TEMPLATE = r"""@NOTICE@

# Print the words before the cursor that are neither options nor their values, one a line: the command, its arguments.
function __cputune_words
    set -l awaited no
    set -l ended no
    set -l words
    for word in (commandline -opc)[2..-1]
        if test $awaited = yes
            set awaited no
        else if test $ended = yes
            set -a words $word
        else
            switch $word
                case --
                    set ended yes
                case @WITH_VALUE@
                    set awaited yes
                case '-*'
                case '*'
                    set -a words $word
                    contains -- "$words[1]" @DELEGATING@; and set -q words[2]; and set ended yes
            end
        end
    end
    printf '%s\n' $words
end

# Succeed if the command is $argv[1] ("" for none yet), and has at least $argv[2] and at most $argv[3] arguments.
function __cputune_at
    set -l words (__cputune_words)
    set -l count (math (count $words) - 1)
    test "$words[1]" = "$argv[1]"; or return
    test -z "$argv[2]"; or test $count -ge $argv[2]; or return
    test -z "$argv[3]"; or test $count -le $argv[3]
end

# Print the names of the existing domains: cputune lists them itself, given the words before the cursor.
function __cputune_domains
    string match -q -- '-*' (commandline -ct); and return
    set -l words (commandline -opc)
    set -lx COMP_WORDS (string join ' ' -- (string escape --style=script --no-quoted -- $words))
    set -lx COMP_CWORD (count $words)
    set -lx _CPUTUNE_COMPLETE bash_complete
    $words[1] 2>/dev/null | string replace -rf '^plain,' ''
end

# Complete the command line after `cputune run`, as the shell does.
function __cputune_delegated
    set -l words (string escape -- (__cputune_words)[2..-1])
    set -l current (commandline -ct)
    complete -C"$words $current"
end

complete -c cputune -f
@LINES@
"""


def render(notice: str, top: Command, commands: list[Command]) -> str:
    """Return the script."""
    delegating = [command.name for command in commands if command.delegates]
    return (
        _TEMPLATE.replace("@NOTICE@", notice)
        .replace("@WITH_VALUE@", " ".join(options_with_value(top, commands)))
        .replace("@DELEGATING@", " ".join(delegating))
        .replace("@LINES@", "\n".join(_lines(top, commands)))
    )


def _lines(top: Command, commands: list[Command]) -> Iterator[str]:
    for command in commands:
        yield _line(_at(""), "-a", command.name, "-d", _quoted(command.summary.removesuffix(".")))
    for command in (top, *commands):
        most = " 0 0" if command.delegates else ""
        for option in command.options:
            yield from (_line(_at(command.name, most), *words) for words in _option(option))
        for at, argument in enumerate(command.arguments):
            most = "" if argument.repeats else f" {at}"
            yield _line(_at(command.name, f" {at}{most}"), *_argument(argument.value))


def _option(option: Option) -> Iterator[list[str]]:
    for name in (*option.names, *option.opposites):
        kind = "-l" if name.startswith("--") else "-s"
        yield [kind, name.lstrip("-"), *(_value(option.value) if option.value else []), "-d", _quoted(option.brief)]


def _value(value: Value) -> list[str]:
    match value.kind:
        case Kind.DIRECTORY:
            return ["-x", "-a", "'(__fish_complete_directories (commandline -ct))'"]
        case _:
            return ["-x", *(["-a", _quoted(" ".join(value.words))] if value.words else [])]


def _argument(value: Value) -> list[str]:
    match value.kind:
        case Kind.DOMAIN:
            return ["-a", "'(__cputune_domains)'", "-d", "domain"]
        case Kind.COMMAND:
            return ["-a", "'(__cputune_delegated)'"]
        case _:
            return ["-a", _quoted(" ".join(value.words))]


def _at(name: str, counts: str = "") -> str:
    return f"-n '__cputune_at {name or chr(34) * 2}{counts}'"


def _line(*words: str) -> str:
    return " ".join(["complete -c cputune", *words])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
