"""What the commands' options have in common: parameter types, and decorators derived from the table of knobs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cputune.core.errors import UsageError
from cputune.core.goals import Where
from cputune.core.knobs import KNOB, KNOBS, Knob
from cputune.core.model import Change, Request
from cputune.core.names import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cputune.app.tuner import Tuner
    from cputune.host.system import Host

F = TypeVar("F", bound=Callable[..., Any])


if TYPE_CHECKING:
    TextType = click.ParamType[str]
else:
    TextType = click.ParamType  # generic since click 8.4 only


class KnobType(TextType):
    """The text of a value of one knob. The knob's row parses it, as in YAML, so that the errors are the same."""

    def __init__(self, knob: Knob) -> None:
        self.knob = knob
        self.name = knob.key

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the metavar of the knob: USEC, N, ..."""
        return self.knob.metavar

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the words that are values, with the range as their description."""
        from click.shell_completion import CompletionItem

        words = (word for word in self.knob.kind.words if word.startswith(incomplete))
        return [CompletionItem(word, help=self.knob.range) for word in words]


class DomainType(TextType):
    """The name of a domain; completes the names of the domains that exist now."""

    name = "domain"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the qualified names of the domains, and the bare names that only one runtime knows."""
        from collections import Counter

        from click.shell_completion import CompletionItem

        from cputune.core.errors import CpuTuneError
        from cputune.runtimes import lookup

        try:
            found = list(lookup.domains(make_tuner(ctx).cgroups))
        except (CpuTuneError, OSError):
            return []
        names = [(domain.qualified, "running" if domain.running else "stopped") for domain in found]
        known = Counter(domain.name for domain in found)
        names += [(domain.name, domain.qualified) for domain in found if known[domain.name] == 1]
        names = [(name, text) for name, text in names if name.startswith(incomplete) and printable(name) == name]
        return [CompletionItem(name, help=text) for name, text in names]


DOMAIN = DomainType()


def make_tuner(ctx: click.Context) -> Tuner:
    """Return the core for cputune's own options, or their environment variables; its messages go to stderr."""
    import shlex

    from cputune.app.tuner import Tuner
    from cputune.host.system import Host

    root = ctx.find_root()
    folders = (root.params.get(name) for name in ("config_dir", "state_dir", "data_dir"))
    host = Host(root.params.get("root") or "/", *folders)
    ctx.call_on_close(lambda: say_problems(host))
    return Tuner(host, say, shlex.join(["cputune", *(root.obj or [])]))


def say_problems(host: Host) -> None:
    """Print a line on stderr about each thing that was left out since it could not be read."""
    for line in host.problems.lines() if "problems" in vars(host) else ():
        say(line)


def say(text: str) -> None:
    """Print a message on stderr; if stderr is closed, the command goes on without it."""
    with suppress(OSError):
        click.echo(f"cputune: {printable(text)}", err=True)


def knob_options(command: F) -> F:
    """Add one option per knob, in the order of the table."""
    for knob in reversed(KNOBS):
        if knob.kind.is_flag:
            command = click.option(f"{knob.option}/--no-{knob.key}", default=None, help=knob.help)(command)
        else:
            text = f"{knob.help} [{knob.range}]"
            command = click.option(knob.option, type=KnobType(knob), metavar=knob.metavar, help=text)(command)
    return command


def where_options(command: F) -> F:
    """Add --live, --config and --current, as in virsh."""
    for name, text in (
        ("--current", "Live if the domain runs, else the config; what happens without any of the three."),
        ("--config", "The saved configuration, which cputune apply puts into force."),
        ("--live", "The running domain, now."),
    ):
        command = click.option(name, is_flag=True, help=text)(command)
    return command


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON: virsh's names, microseconds.")(command)


def where_of(live: bool, config: bool, current: bool) -> Where:
    """Return the three flags as one word. Raises UsageError for --current together with another one."""
    if current and (live or config):
        raise UsageError(f"options --current and --{'live' if live else 'config'} are mutually exclusive")
    if live and config:
        return "both"
    return "live" if live else "config" if config else "current"


def request_of(values: dict[str, Any]) -> Request:
    """Return the request of the knob options. Raises UsageError for a value out of range, or two exclusive options."""
    given = {knob.key: values.get(knob.identifier) for knob in KNOBS}
    texts = {
        key: KNOB[key].format(value) if isinstance(value, bool) else value
        for key, value in given.items()
        if value is not None
    }
    return request_from_texts(texts, {key: KNOB[key].option for key in texts})


def refuse_idle_weight(request: Request) -> Request:
    """Return the request. Raises UsageError if it sets a weight of a group that it makes idle."""
    change = request.change
    if change.idle and (change.shares is not None or change.weight is not None):
        raise UsageError("an idle group has no shares and no weight", "give either idle or a weight")
    return request


def request_from_texts(texts: dict[str, str], labels: dict[str, str]) -> Request:
    """Return the request of texts by key; `labels` say in errors where each text came from. Raises UsageError."""
    for key in texts:
        if (other := KNOB[key].alternative) in texts:
            raise UsageError(
                f"{labels[key]} and {labels[other]} are mutually exclusive: they are two units of one thing"
            )
    values = {key: KNOB[key].parse(text, labels[key]) for key, text in texts.items()}
    zeros = frozenset(key for key, value in values.items() if KNOB[key].zero_is_none and value == 0)
    return refuse_idle_weight(Request(Change(**values).replace(**dict.fromkeys(zeros)), zeros))


def need_something(request: Request) -> Request:
    """Return the request. Raises UsageError if it asks for nothing."""
    if not request.change.named() and not request.zeros:
        raise UsageError("nothing to set: give at least one limit", "cputune set mydom --cpus 1.5 --live")
    return request
