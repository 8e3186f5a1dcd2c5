"""What this machine can run: the version of its own kernel, and tests that it cannot or need not run."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import NoReturn

import pytest

from cputune.core.errors import CpuTuneError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.system import Host

LAB = "CPUTUNE_LAB"
"""Set where the lab is complete: what would be skipped there is a failure."""

MEMORY = "/dev/shm"
ENOUGH = 1 << 30


def memory_is_large() -> bool:
    """Whether the temporary files of all tests fit into memory: cputune syncs each of its own, and disks are slow."""
    if not os.path.ismount(MEMORY):
        return False
    found = os.statvfs(MEMORY)
    return found.f_bavail * found.f_frsize >= ENOUGH and not found.f_flag & os.ST_NOEXEC


@cache
def real_version() -> int | None:
    """The version of the real kernel's cpu hierarchy; None where there is none."""
    try:
        return Cgroups(Host()).hierarchy.version
    except CpuTuneError:
        return None


def give_up(reason: str) -> NoReturn:
    """Skip; in the complete lab, fail."""
    if LAB in os.environ:
        pytest.fail(f"{LAB} is set, but {reason}")
    pytest.skip(reason)


def leave_out(config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]) -> None:
    """Not skipped: what has no meaning here cannot be missed."""
    left_out = [item for item in items if unwanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
