"""Pipes, terminals, and outputs that cannot be written."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.support.commandline import ESCAPE, error
from tests.support.hosts import Scratch, read
from tests.support.process import environment, process, terminal


def test_no_escape_codes_in_a_pipe(scratch: Scratch) -> None:
    done = process("status", CPUTUNE_ROOT=str(scratch.directory))
    assert done.status == 0
    assert ESCAPE not in done.out + done.err
    assert max(map(len, done.out.splitlines())) > 100  # nothing is cut at 80


def test_colours_on_a_terminal_unless_they_are_not_wanted(scratch: Scratch) -> None:
    root = str(scratch.directory)
    assert f"{ESCAPE}[" in terminal(200, "status", CPUTUNE_ROOT=root)
    plain = terminal(200, "status", CPUTUNE_ROOT=root, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_lost_on_a_terminal(scratch: Scratch, width: int) -> None:
    out = terminal(width, "status", CPUTUNE_ROOT=str(scratch.directory), COLUMNS=str(width))
    _, *lines = re.sub(r"\x1b\[[0-9;]*m", "", out).replace("\r", "").splitlines()
    assert max(map(len, lines)) <= width
    columns = as_columns(lines)
    names = [line.split(" | ")[0] for line in read("debian13-unified").lines("domains") if line]
    assert columns[0] == "DOMAIN" + "".join(names)
    assert columns[1].count("running") == len([name for name in names if name not in
                                               ("libvirt:shut", "lxc:stopped", "nspawn:image")])  # fmt: skip
    assert columns[2].count("1024") == 15
    assert columns[4] == "LIMIT0.5" + "-" * (len(names) - 1)


def as_columns(lines: list[str]) -> list[str]:
    """The text of each column of a table, over all lines; columns are parted where every line has a space."""
    width = max(map(len, lines))
    padded = [line.ljust(width) for line in lines]
    cuts = [at for at in range(width) if all(line[at] == " " for line in padded)]
    edges = [-1, *cuts, width]
    spans = [(left + 1, right) for left, right in pairwise(edges) if right - left > 1]
    return ["".join(line[left:right].strip() for line in padded) for left, right in spans]


def test_a_reader_that_goes_away_is_no_traceback(scratch: Scratch) -> None:
    argv = [sys.executable, "-m", "cputune", "status", "--json"]
    with subprocess.Popen(
        argv, env=environment(CPUTUNE_ROOT=str(scratch.directory)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_output_that_cannot_be_written(scratch: Scratch) -> None:
    argv = [sys.executable, "-m", "cputune", "schedinfo", "lxc:mydom"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, env=environment(CPUTUNE_ROOT=str(scratch.directory)), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == error("cannot write the output: No space left on device")
