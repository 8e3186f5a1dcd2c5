"""Domains of a host, found by their names."""

from __future__ import annotations

import pytest

from cputune.core.errors import CpuTuneError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup

MYDOM = "2776f297f7376082ce83d6f6f7dbf99cbc892ae67b295a30c8b878c856dc30a5"
"""The id of the container docker:mydom on debian13-runtimes."""
USERS = "/home/labuser/.local/share/docker/containers"


def refused(cgroups: Cgroups, name: str) -> CpuTuneError:
    """The error that comes of looking for this name."""
    with pytest.raises(CpuTuneError) as caught:
        lookup.find(cgroups, name)
    return caught.value


def names(cgroups: Cgroups, runtime: str) -> list[str]:
    """The names of all domains of a runtime."""
    return [domain.name for domain in lookup.domains(cgroups, (runtime,))]
