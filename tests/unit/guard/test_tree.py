"""The tree of cgroups, watched."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cputune.guard.tree import Tree
from cputune.host.cgroup.cgroups import Cgroups
from tests.support.fakekernel import FakeKernel


@pytest.fixture
def tree(v2: FakeKernel) -> Iterator[Tree]:
    found = Tree(Cgroups(v2))
    found.scan()
    yield found
    found.close()


def test_what_is_made_goes_and_comes_again(v2: FakeKernel, tree: Tree) -> None:
    v2.mkdir("/sys/fs/cgroup/a")
    v2.mkdir("/sys/fs/cgroup/a/b")
    seen = tree.read()
    assert (seen.created, seen.removed) == (["/a", "/a/b"], [])
    v2.rmdir("/sys/fs/cgroup/a/b")
    v2.mkdir("/sys/fs/cgroup/a/b")
    seen = tree.read()
    assert (seen.created, seen.removed) == (["/a/b"], ["/a/b"])
    v2.rmdir("/sys/fs/cgroup/a/b")
    v2.rmdir("/sys/fs/cgroup/a")
    seen = tree.read()
    assert (seen.created, set(seen.removed)) == ([], {"/a", "/a/b"})
    assert not [one for one in tree._cgroups.values() if one[1].startswith("/a")]


def test_a_cgroup_with_another_name_is_another_one(v2: FakeKernel, tree: Tree) -> None:
    v2.mkdir("/sys/fs/cgroup/a")
    tree.read()
    os.rename(v2.real("/sys/fs/cgroup/a"), v2.real("/sys/fs/cgroup/z"))  # v1's kernel permits it
    for _ in range(3):
        assert {"/z"} <= set(tree.scan())
        assert "/a" not in tree.scan()
    v2.rmdir("/sys/fs/cgroup/z")
    assert "/z" in tree.read().removed


@pytest.mark.parametrize("name", ["ü", "a b", "\udcff", "x" * 200])
def test_odd_names_of_cgroups(v2: FakeKernel, tree: Tree, name: str) -> None:
    v2.mkdir(f"/sys/fs/cgroup/{name}")
    assert tree.read().created == [f"/{name}"]
