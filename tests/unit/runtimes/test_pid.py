"""Processes."""

from __future__ import annotations

import pytest

from cputune.core.errors import UsageError
from cputune.core.model import Details
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from tests.support.finding import refused
from tests.support.hosts import Scratch


def test_threads_elsewhere_than_their_process(scratch: Scratch, cgroups: Cgroups) -> None:
    for task, group in ((829, "/mydom-cg/a"), (830, "/mydom-cg/b"), (831, "/mydom-cg")):
        scratch.file(f"/proc/828/task/{task}/cgroup", f"0::{group}\n")
    assert lookup.find(cgroups, "pid:828").details == Details(
        process="sleep", threads_also_in=("/mydom-cg/a", "/mydom-cg/b")
    )


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "1.5", "+1", "٣"])
def test_what_is_no_process(cgroups: Cgroups, number: str) -> None:
    error = refused(cgroups, f"pid:{number}")
    assert type(error) is UsageError
    if number:
        assert error.message == f"pid:{number}: not the number of a process"
        assert error.hint == "ps -e"
