"""What a command loads: scripts call it in loops, and shells at every TAB."""

from __future__ import annotations

import subprocess
import sys

import click

from cputune.cli.main import COMMANDS, cli
from tests.support.hosts import Scratch
from tests.support.process import process


def loaded(*words: str, root: str) -> set[str]:
    """The modules that a command loads over those that the interpreter has anyway."""
    bare = subprocess.run([sys.executable, "-X", "importtime", "-c", ""], capture_output=True, text=True, check=True)
    done = process(*words, options=("-X", "importtime"), CPUTUNE_ROOT=root)
    assert done.status == 0, done.err

    def modules(text: str) -> set[str]:
        return {line.rpartition("|")[2].strip() for line in text.splitlines() if line.startswith("import time:")}

    return modules(done.err) - modules(bare.stderr)


def test_set_live_loads_neither_yaml_nor_rich_nor_subprocess(scratch: Scratch) -> None:
    """json it needs, for the journal."""
    found = loaded("set", "lxc:mydom", "--quota", "50000", "--live", root=str(scratch.directory))
    assert "cputune.transaction.perform" in found
    assert not found & {"yaml", "rich", "subprocess", "cputune.config.store", "cputune.cli.table", "dataclasses"}


def test_schedinfo_loads_neither_yaml_nor_rich_nor_json(scratch: Scratch) -> None:
    found = loaded("schedinfo", "lxc:mydom", root=str(scratch.directory))
    assert "cputune.app.tuner" in found
    assert not found & {
        "yaml",
        "rich",
        "json",
        "subprocess",
        "cputune.config.store",
        "cputune.cli.table",
        "cputune.planning.planner",
    }


def test_help_loads_no_core(scratch: Scratch) -> None:
    found = loaded("--help", root=str(scratch.directory))
    assert not found & {"yaml", "rich", "json", "subprocess", "cputune.app.tuner", "cputune.host.cgroup.cgroups"}


def test_nothing_is_imported_twice_by_the_group() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "nosuch") is None
    assert all(cli.get_command(context, name) for name in COMMANDS)
