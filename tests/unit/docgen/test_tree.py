"""What docgen reads off the commands."""

from __future__ import annotations

import shlex

import pytest

from cputune.cli.main import COMMANDS
from cputune.docgen import tree
from tests.support.docs import click_command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_cputune_takes(name: str) -> None:
    _, commands = tree.read()
    examples = next(command.examples for command in commands if command.name == name)
    assert examples
    for example in examples:
        program, command, *words = shlex.split(example, comments=True)
        assert program == "cputune"
        assert click_command(command).make_context(command, words, resilient_parsing=False).args == []


def test_an_option_must_take_a_value_in_all_commands_or_in_none() -> None:
    top, commands = tree.read()
    odd = commands[0]._replace(options=(tree.Option(("--root",), "A flag of the same name."),))
    with pytest.raises(ValueError, match=r"^with a value in one command and a flag in another: --root$"):
        tree.options_with_value(top, [odd])
