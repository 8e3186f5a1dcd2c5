"""The manual pages as roff, from the commands and the texts of `manual`. Pure."""

from __future__ import annotations

import re

from cputune import __version__
from cputune.core.knobs import KNOBS, Knob
from cputune.core.names import file_name
from cputune.docgen import config_manual, manual, roff, security_manual
from cputune.docgen.tree import Argument, Command, Kind, Option
from cputune.host.system import CONFIG_DIR
from cputune.runtimes.registry import RUNTIMES, Runtime

CONFIG_PAGE = "cputune.yaml"


def overview(notice: str, top: Command, commands: list[Command]) -> str:
    """Return cputune(1)."""
    synopsis = [*map(_optional, top.options), roff.italic("COMMAND"), r"[\fIARGUMENT\fR\ ...]"]
    parts = [
        *_head(notice, top, roff.section("SYNOPSIS", roff.usage("cputune", synopsis))),
        roff.section("DESCRIPTION", roff.paragraphs((*top.paragraphs, *manual.INTRODUCTION))),
        roff.section("DOMAINS", roff.items(map(_runtime, RUNTIMES.values())), ".PP", roff.paragraphs(manual.DOMAINS)),
        roff.section("OPTIONS", "These come before the command.", roff.items(map(_option, top.options))),
        roff.section("COMMANDS", roff.items((_command(command), command.summary) for command in commands)),
        roff.section(
            "LIVE AND CONFIG",
            roff.items((roff.bold(name), text) for name, text in manual.LIVE_AND_CONFIG),
            roff.subsection("Patterns", roff.paragraphs(manual.PATTERNS)),
            roff.subsection("Cgroups that systemd owns", roff.paragraphs(manual.SYSTEMD_UNITS)),
            roff.subsection("What runtimes remember", roff.paragraphs(manual.NATIVE_LIMITS)),
        ),
        roff.section("PARAMETERS", roff.items(map(_knob, KNOBS)), ".PP", roff.paragraphs(manual.PARAMETERS)),
        roff.section("THE GUARD", roff.paragraphs(manual.GUARD)),
        roff.section("TRANSACTIONS", roff.paragraphs(manual.TRANSACTIONS)),
        roff.section(
            "RIGHTS",
            roff.paragraphs(manual.RIGHTS),
            roff.block([manual.SUDOERS]),
            ".PP",
            roff.prose(manual.SANDBOX_NOTE),
            roff.block(manual.SANDBOX.splitlines()),
        ),
        roff.section(
            "SECURITY",
            roff.paragraphs((*security_manual.TRUST, security_manual.WORDS)),
            roff.subsection(
                "What a line in sudoers grants",
                roff.items((roff.bold(line), text) for line, text in security_manual.SUDOERS),
            ),
            roff.subsection("The guard and the hooks", roff.paragraphs(security_manual.PROGRAMS)),
        ),
        roff.section(
            "EXIT STATUS",
            roff.items((roff.bold(str(int(code))), text) for code, text in manual.EXITS.items()),
            ".PP",
            roff.prose(manual.EXIT_NOTE),
        ),
        roff.section("FILES", roff.items((roff.metavar(path), text) for path, text in manual.FILES)),
        roff.section("ENVIRONMENT", roff.items(_environment(top))),
        roff.section("EXAMPLES", *(_example(command) for command in commands if command.examples)),
        _see_also(*(f"{command.page}(1)" for command in commands), f"{CONFIG_PAGE}(5)", *manual.SEE_ALSO),
    ]
    return "\n".join(parts) + "\n"


def command_page(notice: str, command: Command) -> str:
    """Return cputune-COMMAND(1)."""
    synopsis = [*map(_optional, command.options[:-1]), *map(_positional, command.arguments)]
    parts = [
        *_head(notice, command, roff.section("SYNOPSIS", roff.usage(command.title, synopsis))),
        roff.section("DESCRIPTION", roff.paragraphs(command.paragraphs)),
        roff.section("OPTIONS", roff.items(map(_option, command.options))),
        roff.section("EXAMPLES", roff.block(command.examples)),
        roff.section("NOTES", roff.prose(manual.COMMAND_NOTE)),
        _see_also("cputune(1)", f"{CONFIG_PAGE}(5)"),
    ]
    return "\n".join(parts) + "\n"


def config_page(notice: str) -> str:
    """cputune.yaml(5)."""
    keys = [*((_key(name, value), text) for name, value, text in config_manual.KEYS), *map(_yaml_key, KNOBS)]
    names = [
        (f"{runtime}:{name}", f"{runtime}/{file_name(name)}.yaml") for runtime, name in config_manual.NAME_EXAMPLES
    ]
    parts = [
        notice,
        roff.heading(CONFIG_PAGE, 5, __version__, "File Formats"),
        roff.section("NAME", rf"{CONFIG_PAGE} \- {config_manual.SUMMARY}"),
        roff.section("SYNOPSIS", roff.metavar(f"{CONFIG_DIR}/domains/RUNTIME/NAME.yaml")),
        roff.section("DESCRIPTION", roff.paragraphs(config_manual.INTRODUCTION)),
        roff.section("KEYS", roff.items(keys)),
        roff.section("FORMAT", roff.paragraphs((*config_manual.FORMAT, config_manual.TRUST))),
        roff.section(
            "MANY DOMAINS IN ONE FILE",
            roff.paragraphs(config_manual.MANY),
            roff.block(config_manual.MANY_EXAMPLE.splitlines()),
        ),
        roff.section("FILE NAMES", roff.paragraphs(config_manual.NAMES), roff.block(roff.columns(names))),
        roff.section("EXAMPLE", roff.block(config_manual.EXAMPLE.splitlines())),
        _see_also("cputune(1)", "cputune-set(1)", "cputune-schedinfo(1)", "cputune-apply(1)"),
    ]
    return "\n".join(parts) + "\n"


def _head(notice: str, command: Command, synopsis: str) -> list[str]:
    summary = command.paragraphs[0] if not command.name else command.summary
    text = (summary[0].lower() + summary[1:]).removesuffix(".")
    return [
        notice,
        roff.heading(command.page, 1, __version__, "User Commands"),
        roff.section("NAME", rf"{roff.plain(command.page)} \- {roff.plain(text)}"),
        synopsis,
    ]


def _names(option: Option) -> str:
    return ", ".join(map(roff.bold, (*option.names, *option.opposites)))


def _option(option: Option) -> tuple[str, str]:
    value = rf"\ {roff.metavar(option.value.metavar)}" if option.value else ""
    words = option.value.words if option.value and option.value.kind is Kind.WORDS else ()
    listed = f" One of {', '.join(f'`{word}`' for word in words)}." if len(words) > 1 else ""
    return _names(option) + value, option.help + listed


def _optional(option: Option) -> str:
    names = r"\ |\ ".join(map(roff.bold, (*option.names, *option.opposites)))
    value = rf"\ {roff.metavar(option.value.metavar)}" if option.value else ""
    return f"[{names}{value}]{'...' if option.multiple else ''}"


def _positional(argument: Argument) -> str:
    words = [roff.bold(word) if word == "--" else roff.metavar(word) for word in argument.value.metavar.split()]
    return r"\ ".join(words)


def _command(command: Command) -> str:
    arguments = " ".join(map(_positional, command.arguments))
    return f"{roff.bold(command.title)} {arguments}"


def _runtime(row: Runtime) -> tuple[str, str]:
    """Return the head and the text of a runtime's entry: the forms of its domains' names, and what they are."""
    return ", ".join(map(_name_form, row.forms)), row.about


def _name_form(form: str) -> str:
    runtime, _, rest = form.partition(":")
    return roff.bold(f"{runtime}:") + roff.metavar(rest)


def _knob(knob: Knob) -> tuple[str, str]:
    """Describe a parameter: its option, its name for schedinfo, its meaning and its range."""
    names = roff.bold(knob.option) + (f", {roff.bold(knob.virsh)}" if knob.virsh else "")
    return names, f"{knob.help} [{knob.range}]"


def _environment(top: Command) -> list[tuple[str, str]]:
    options = [(option.envvar, f"The same as {option.names[0]}.") for option in top.options if option.envvar]
    return [(roff.bold(name), text) for name, text in (*options, *manual.ENVIRONMENT)]


def _example(command: Command) -> str:
    return f".PP\n{roff.prose(command.summary)}\n{roff.block(command.examples)}"


def _key(name: str, value: str) -> str:
    return f"{roff.bold(f'{name}:')} {roff.metavar(value)}"


def _yaml_key(knob: Knob) -> tuple[str, str]:
    words = "" if knob.kind.is_flag else "".join(f" | {word}" for word in knob.kind.words)
    text = re.sub("--([a-z-]+)", r"`\1`", knob.help)
    return _key(knob.key, f"{knob.metavar}{words}"), f"{text} [{knob.range}]"


def _see_also(*pages: str) -> str:
    return roff.section("SEE ALSO", ",\n".join(map(roff.page, pages)))
