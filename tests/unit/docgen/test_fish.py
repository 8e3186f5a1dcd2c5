"""The completion for fish: what TAB offers."""

from __future__ import annotations

import pytest

from tests.support.shells import FISH_ASKING, OPTIONS, WITHOUT_ASKING, Fish, Terminal, calls


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_fish_knows_commands_options_and_values_itself(
    fish: Fish, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert fish(line) == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), FISH_ASKING)
def test_fish_asks_for_the_names_of_domains(
    fish: Fish, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert fish(line) == sorted(expected)
    assert calls(environment) == before + 1


@pytest.mark.parametrize("line", ["cputune run -- cputune stat", "cputune run --cpus 2 cputune stat"])
def test_the_command_of_run_completes_as_by_itself(fish: Fish, zsh: Terminal, line: str) -> None:
    assert fish(line) == ["status"]
    assert zsh.complete(line)[1] == f"{line}us "
