"""The commands as plain data, from which pages and completions are made: the only module that reads click's objects.

It reads the parameters, never click's formatted help, which depends on click's version and the terminal.
"""

from __future__ import annotations

import inspect
from enum import Enum, auto
from typing import NamedTuple

import click

from cputune.cli.main import COMMANDS, cli
from cputune.cli.options import DomainType
from cputune.core.knobs import KNOBS
from cputune.docgen import manual


class Kind(Enum):
    """How a value is completed."""

    TEXT = auto()
    WORDS = auto()
    DIRECTORY = auto()
    DOMAIN = auto()
    ASSIGNMENT = auto()
    COMMAND = auto()


class Value(NamedTuple):
    """The value of an option or an argument."""

    kind: Kind
    metavar: str
    words: tuple[str, ...] = ()
    """The values that are offered: of a choice all there are, of others some."""


class Option(NamedTuple):
    """An option of a command."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None
    """None for a flag."""
    opposites: tuple[str, ...] = ()
    """The names that turn the flag off."""
    multiple: bool = False
    envvar: str | None = None

    @property
    def brief(self) -> str:
        """The beginning of the help text, for a completion menu."""
        text = self.help
        for stop in (". ", "; ", " ["):
            text = text.partition(stop)[0]
        return text.removesuffix(".")


class Argument(NamedTuple):
    """A positional argument."""

    value: Value
    repeats: bool


class Command(NamedTuple):
    """A command, or cputune itself, whose name is ""."""

    name: str
    summary: str
    paragraphs: tuple[str, ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    examples: tuple[str, ...]

    @property
    def title(self) -> str:
        """The command line, `cputune NAME`."""
        return f"cputune {self.name}".strip()

    @property
    def page(self) -> str:
        """The name of its manual page."""
        return self.title.replace(" ", "-")

    @property
    def delegates(self) -> bool:
        """Whether its arguments are another command line."""
        return any(argument.value.kind is Kind.COMMAND for argument in self.arguments)


def read() -> tuple[Command, list[Command]]:
    """Return cputune itself, and its commands in the order of the manual."""
    parent = _context(cli, "cputune", None)
    top = _command(cli, "", parent)
    return top, [_command(_lookup(name, parent), name, parent) for name in COMMANDS]


def options_with_value(top: Command, commands: list[Command]) -> list[str]:
    """Return the names of all options that take a value. Raises ValueError if a name is a flag in another command."""
    options = [option for command in (top, *commands) for option in command.options]
    names = {name: None for option in options if option.value for name in option.names}
    flags = {name for option in options if not option.value for name in (*option.names, *option.opposites)}
    if both := flags & set(names):
        raise ValueError(f"with a value in one command and a flag in another: {', '.join(sorted(both))}")
    return list(names)


def _lookup(name: str, parent: click.Context) -> click.Command:
    command = cli.get_command(parent, name)
    assert command is not None
    return command


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _command(command: click.Command, name: str, parent: click.Context) -> Command:
    ctx = _context(command, name, parent) if name else parent
    paragraphs = tuple(
        " ".join(part.split()) for part in inspect.cleandoc((command.help or "").partition("\f")[0]).split("\n\n")
    )
    options = [_option(param, ctx) for param in command.params if isinstance(param, click.Option) and not param.hidden]
    options.append(Option(tuple(ctx.help_option_names), manual.HELP_OPTION))
    return Command(
        name,
        command.short_help or paragraphs[0],
        paragraphs,
        tuple(options),
        tuple(_argument(param, ctx) for param in command.params if isinstance(param, click.Argument)),
        _examples(command.epilog or ""),
    )


def _option(param: click.Option, ctx: click.Context) -> Option:
    help_text = " ".join((param.help or "").split())
    envvar = param.envvar if isinstance(param.envvar, str) else None
    if param.is_flag:
        return Option(tuple(param.opts), help_text, None, tuple(param.secondary_opts), param.multiple, envvar)
    metavar = param.metavar or max(param.opts, key=len).lstrip("-").upper()
    help_text += _range(param)
    return Option(tuple(param.opts), help_text, _value(param, ctx, metavar), (), param.multiple, envvar)


def _argument(param: click.Argument, ctx: click.Context) -> Argument:
    metavar = param.metavar or (param.name or "").upper()
    return Argument(_value(param, ctx, metavar), param.nargs == -1)


def _value(param: click.Parameter, ctx: click.Context, metavar: str) -> Value:
    if isinstance(param.type, DomainType):
        return Value(Kind.DOMAIN, metavar)
    if "NAME=VALUE" in metavar:
        return Value(Kind.ASSIGNMENT, metavar, tuple(f"{knob.virsh}=" for knob in KNOBS if knob.virsh))
    if metavar == "DIR":
        return Value(Kind.DIRECTORY, metavar)
    if isinstance(param, click.Argument) and not ctx.allow_interspersed_args:
        return Value(Kind.COMMAND, metavar)
    words = tuple(item.value for item in param.shell_complete(ctx, ""))
    return Value(Kind.WORDS if words else Kind.TEXT, metavar, words)


def _range(param: click.Option) -> str:
    kind = param.type
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        return f" [{kind.min:g}..{kind.max:g}]" if kind.min is not None and kind.max is not None else ""
    return ""


def _examples(epilog: str) -> tuple[str, ...]:
    lines = (line.strip().removeprefix("Try:").strip() for line in epilog.replace("\b", "").splitlines())
    return tuple(line for line in lines if line)
