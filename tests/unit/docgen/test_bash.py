"""The completion for bash: what TAB offers, and what it makes of the line."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.docs import FILES, SOURCES, tool
from tests.support.shells import (
    ASKING,
    BARE,
    DOMAINS,
    LINES,
    OPTIONS,
    WITHOUT_ASKING,
    Terminal,
    calls,
    find,
    shortest,
    unquoted,
)


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_bash_knows_commands_options_and_values_itself(
    bash: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert bash.complete(line)[0] == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), ASKING)
def test_bash_asks_for_the_names_of_domains(
    bash: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert unquoted(bash.complete(line)[0]) == sorted(expected)
    assert calls(environment) == before + 1


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_bash_completes_the_line(bash: Terminal, typed: str, completed: str) -> None:
    if typed.startswith("nice ") and not bash.packaged:
        completed = typed  # bash alone does not know that nice has a command behind it
    assert bash.complete(typed)[1] == completed


@pytest.mark.parametrize("name", DOMAINS + BARE)
def test_bash_inserts_a_name_so_that_it_arrives_unharmed(
    bash: Terminal, environment: dict[str, str], name: str
) -> None:
    assert shlex.split(bash.complete(f"cputune set {shortest(name)}")[1]) == ["cputune", "set", name]
    assert not Path(environment["HOME"], "pwned").exists()


@pytest.mark.parametrize("quoted", ["'lxc:it", '"lxc:odd'])
def test_bash_leaves_out_a_name_that_cannot_be_in_these_quotes(bash: Terminal, quoted: str) -> None:
    assert bash.complete(f"cputune set {quoted}") == ([], f"cputune set {quoted}")


def test_a_shell_without_cputune_offers_no_names_and_says_nothing(environment: dict[str, str]) -> None:
    script = """
        . "$0"; COMP_LINE="cputune set " COMP_POINT=12 COMP_WORDS=(cputune set "") COMP_CWORD=2
        _cputune; echo "${#COMPREPLY[@]} names"
    """
    done = subprocess.run(
        [find("bash"), "-c", script, f"{SOURCES}/completions/cputune.bash"],
        env={**environment, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0 names\n", "")


def test_cputune_answers_as_the_scripts_expect(environment: dict[str, str]) -> None:
    asked = {"COMP_WORDS": "cputune set", "COMP_CWORD": "2", "_CPUTUNE_COMPLETE": "bash_complete"}
    done = subprocess.run(["cputune"], env={**environment, **asked}, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.splitlines()) == sorted(f"plain,{name}" for name in DOMAINS + BARE)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_completion_for_bash_pleases_shellcheck() -> None:
    argv = [tool("shellcheck"), "-"]
    done = subprocess.run(argv, input=FILES["completions/cputune.bash"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
