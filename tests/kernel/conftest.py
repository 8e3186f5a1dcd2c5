"""What needs a machine of its own: leave it out elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cputune.core.errors import CpuTuneError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host
from tests.support.machine import leave_out

CONTAINERS = Path(__file__).parent / "test_oci.py"
UNIFIED = Path("/sys/fs/cgroup/unified")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Containers are started in user-mode-linux alone, where nothing of them can be left behind."""
    if "CPUTUNE_UML" not in os.environ or not runtimes_know_the_layout():
        leave_out(config, items, lambda item: item.path == CONTAINERS)
    elif crun_refuses_the_layout():
        leave_out(config, items, starts_crun)


def starts_crun(item: pytest.Item) -> bool:
    return item.path == CONTAINERS and isinstance(item, pytest.Function) and "crun" in item.callspec.params.values()


def runtimes_know_the_layout() -> bool:
    """Neither runc nor crun knows a hybrid host whose cpu controller is on v2: they take it for one of v1."""
    try:
        hierarchy = Cgroups(Host()).hierarchy
    except CpuTuneError:
        return False
    return not (hierarchy.layout == "hybrid" and hierarchy.version == 2)


def crun_refuses_the_layout() -> bool:
    """crun starts nothing on a hybrid host whose cgroup2 has a controller, as it always has where v1 lacks one."""
    hierarchy = Cgroups(Host()).hierarchy
    controllers = UNIFIED / "cgroup.controllers"
    return hierarchy.layout == "hybrid" and controllers.exists() and controllers.read_text().strip() != ""
