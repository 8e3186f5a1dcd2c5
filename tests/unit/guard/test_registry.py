"""What the guard knows of the domains that run."""

from __future__ import annotations

from cputune.core.model import Domain
from cputune.guard.registry import Registry

WEB = Domain("lxc", "web", True, True, "/web", "/web")


def test_of_what_is_forgotten_nothing_is_left() -> None:
    registry = Registry()
    registry.add(WEB._replace(weight_cgroup="/above"))
    registry.started["lxc:web"] = registry.checks["lxc:web"] = 1.0
    registry.reported["lxc:web"] = ["x"]
    assert registry.remove("/above") is None
    assert registry.remove("/web") == WEB._replace(weight_cgroup="/above")
    assert not any((registry.by_cgroup, registry.started, registry.checks, registry.reported, registry.records))
    registry.add(WEB)
    registry.checks["lxc:web"] = 1.0
    registry.add(WEB._replace(runtime="cgroup", name="/web"))  # another name for the same
    assert registry.names() == ["cgroup:/web"]
    assert registry.checks == {"cgroup:/web": 1.0}  # handed on with the cgroup
