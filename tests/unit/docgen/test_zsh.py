"""The completion for zsh: what TAB offers, and what it makes of the line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.shells import ASKING, BARE, DOMAINS, LINES, OPTIONS, WITHOUT_ASKING, Terminal, calls, shortest


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_zsh_knows_commands_options_and_values_itself(
    zsh: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert zsh.complete(line)[0] == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), ASKING)
def test_zsh_asks_for_the_names_of_domains(
    zsh: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert zsh.complete(line)[0] == sorted(expected)
    assert calls(environment) > before


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_zsh_completes_the_line(zsh: Terminal, typed: str, completed: str) -> None:
    assert zsh.complete(typed)[1] == completed


@pytest.mark.parametrize("name", DOMAINS + BARE)
def test_zsh_inserts_a_name_so_that_it_arrives_unharmed(zsh: Terminal, environment: dict[str, str], name: str) -> None:
    assert shlex.split(zsh.complete(f"cputune set {shortest(name)}")[1]) == ["cputune", "set", name]
    assert not Path(environment["HOME"], "pwned").exists()
