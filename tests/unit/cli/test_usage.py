"""What is no command line of cputune; help, and the version."""

from __future__ import annotations

import click
import pytest

from cputune import __version__
from cputune.cli.main import COMMANDS, cli
from cputune.core.knobs import KNOBS
from tests.support.commandline import STATUS, CommandLine, error
from tests.support.fakekernel import FakeKernel

EXCLUSIVE = "are mutually exclusive"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("set", "web"), "nothing to set: give at least one limit", "cputune set mydom --cpus 1.5 --live"),
        (
            ("set", "web", "--shares", "5", "--weight", "5"),
            f"--shares and --weight {EXCLUSIVE}: they are two units of one thing",
            None,
        ),
        (
            ("set", "web", "--quota", "5000", "--cpus", "1"),
            f"--quota and --cpus {EXCLUSIVE}: they are two units of one thing",
            None,
        ),
        (
            ("set", "web", "--cpus", "1", "--live", "--current"),
            f"options --current and --live {EXCLUSIVE}",
            None,
        ),
        (("schedinfo", "web", "--config", "--current"), f"options --current and --config {EXCLUSIVE}", None),
        (
            ("schedinfo", "web", "--live", "--config"),
            "--live and --config cannot both be asked",
            "cputune schedinfo DOMAIN --live",
        ),
        (
            ("schedinfo", "web", "--set", "quota"),
            "invalid syntax for --set, expecting name=value: quota",
            "cputune schedinfo mydom --set cpu_shares=512",
        ),
        (
            ("schedinfo", "web", "--set", "emulator_quota=1"),
            "invalid scheduler option: emulator_quota",
            f"known: {', '.join(knob.virsh for knob in KNOBS if knob.virsh)}",
        ),
        (
            ("set", "web", "--cpus", "0.001"),
            "--cpus: 0.001 is a quota of 100 with a period of 100000, below 1000",
            "give a longer period: --period 1000000",
        ),
        (
            ("set", "web", "--idle", "--weight", "50"),
            "an idle group has no shares and no weight",
            "give either idle or a weight",
        ),
        (
            ("schedinfo", "web", "--set", "cpu_idle=1", "cpu_shares=5"),
            "an idle group has no shares and no weight",
            "give either idle or a weight",
        ),
        (
            ("set", "web", "--cpus", "0.5000001"),
            "--cpus: '0.5000001' is not in range: 0.000001..999999999 CPUs, or unlimited",
            "cputune set --help",
        ),
        (
            ("set", "web", "--cpus", "999999999"),
            "--cpus: 999999999 is a quota of 99999999900000 with a period of 100000, above 17592186044415",
            None,
        ),
        (
            ("schedinfo", "web", "--set", "cpu_shares=1"),
            "cpu_shares: '1' is not in range: 2..262144",
            "cputune set --help",
        ),
        (("set", "", "--cpus", "1"), "the name of the domain is empty", STATUS),
        (("set", "/web", "--cpus", "1"), "/web is a path, not the name of a domain", "cputune status cgroup:/web"),
        (
            ("run", "--name", "a/b", "--", "true"),
            "--name: a/b is not a valid name: it contains a slash or is too long",
            None,
        ),
    ],
)
def test_usage(v2: FakeKernel, cputune: CommandLine, words: tuple[str, ...], message: str, hint: str | None) -> None:
    assert cputune(v2, *words) == (2, "", error(message, hint))
    assert v2.writes == []


@pytest.mark.parametrize(
    ("words", "about", "command"),
    [
        (("nosuch",), "nosuch", "cputune"),
        (("--nosuch",), "--nosuch", "cputune"),
        (("set",), "DOMAIN", "cputune set"),
        (("set", "web", "--nosuch"), "--nosuch", "cputune set"),
        (("set", "web", "--quota"), "--quota", "cputune"),
        (("schedinfo",), "DOMAIN", "cputune schedinfo"),
        (("status", "--interval", "soon"), "soon", "cputune status"),
        (("status", "--interval", "0"), "0", "cputune status"),
        (("status", "--runtime", "xen"), "xen", "cputune status"),
        (("run",), "COMMAND", "cputune run"),
        (("apply", "--nosuch"), "--nosuch", "cputune apply"),
    ],
)
def test_what_click_finds_wrong(
    v2: FakeKernel, cputune: CommandLine, words: tuple[str, ...], about: str, command: str
) -> None:
    """The words in the middle are click's, and differ between its versions."""
    status, out, err = cputune(v2, *words)
    assert (status, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("cputune: error: ")
    assert about in first
    assert not first.endswith(".")
    assert second.startswith(f"hint: {command} ")
    assert second.endswith(" --help")


def test_without_a_command_the_help_is_an_error(v2: FakeKernel, cputune: CommandLine) -> None:
    status, out, err = cputune(v2)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: cputune [OPTIONS] ")
    assert all(f"  {name} " in err for name in COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_everything(v2: FakeKernel, cputune: CommandLine, option: str) -> None:
    status, out, err = cputune(v2, option)
    assert (status, err) == (0, "")
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_all_options_and_ends_with_a_line_to_paste(
    v2: FakeKernel, cputune: CommandLine, name: str
) -> None:
    status, out, err = cputune(v2, name, "--help")
    assert (status, err) == (0, "")
    command = cli.get_command(click.Context(cli), name)
    assert command
    for param in command.params:
        if isinstance(param, click.Option):
            assert all(option in out for option in (*param.opts, *param.secondary_opts))
            assert param.help
    example = out.partition("\n  Try: ")[2]
    assert example.startswith(f"cputune {name}")
    assert all("cputune " in line for line in example.splitlines())


def test_version(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "--version") == (0, f"cputune {__version__}\n", "")
