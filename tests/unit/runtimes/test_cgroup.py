"""Cgroups by their paths."""

from __future__ import annotations

import pytest

from cputune.core.errors import UsageError
from cputune.host.cgroup.cgroups import Cgroups
from tests.support.finding import refused
from tests.support.hosts import MOUNT, Scratch


def test_a_path_is_no_name(cgroups: Cgroups) -> None:
    error = refused(cgroups, "/system.slice")
    assert type(error) is UsageError
    assert error.message == "/system.slice is a path, not the name of a domain"
    assert error.hint == "cputune status cgroup:/system.slice"


@pytest.mark.parametrize("path", ["..", "system.slice", "/../etc", "/a/./b", "/system.slice/..", "/..", "./x"])
def test_paths_that_are_not_absolute_and_straight(cgroups: Cgroups, path: str) -> None:
    error = refused(cgroups, f"cgroup:{path}")
    assert type(error) is UsageError
    assert error.message == f"cgroup:{path}: not an absolute path without . and .."
    assert error.hint == "cputune status cgroup:/system.slice"


def test_a_link_that_leads_out_of_the_hierarchy_is_not_followed(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.folder("/outside/inner")
    scratch.link(f"{MOUNT}/link", f"{scratch.directory}/outside")
    assert refused(cgroups, "cgroup:/link/inner").message == "no domain cgroup:/link/inner"
