"""What OCI runtimes say about where a container is."""

from __future__ import annotations

import pytest

from cputune.runtimes import oci_container


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("system.slice:docker:abc", "docker-abc.scope"),
        ("kubepods-burstable-podx.slice:cri-containerd:abc", "cri-containerd-abc.scope"),
        ("machine.slice::abc", "abc.scope"),
        ("/kubepods/burstable/podx/abc", "abc"),
        ("abc", "abc"),
    ],
)
def test_what_the_cgroup_of_a_cgroups_path_is_called(path: str, name: str) -> None:
    assert oci_container.cgroup_name(path) == name
