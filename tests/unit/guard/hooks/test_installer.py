"""Hooks are installed and removed: all of them or none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cputune.core.errors import Unsupported
from cputune.guard.hooks.files import installed_paths
from cputune.guard.hooks.installer import install, remove
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.hooks import hook_file


def test_where_a_hook_is_installed_is_seen(v2: FakeKernel) -> None:
    assert [list(installed_paths(v2, runtime)) for runtime in ("podman", "lxc", "systemd", "libvirt")] == [[]] * 4
    hooks = (
        hook_file(v2, "podman"),
        hook_file(v2, "lxc", "web"),
        hook_file(v2, "systemd", "x"),
        hook_file(v2, "libvirt"),
    )
    for hook in hooks:
        v2.put_file(hook.path, hook.with_hook(""))
    found = [list(installed_paths(v2, runtime)) for runtime in ("podman", "lxc", "systemd", "libvirt")]
    assert found == [[hook.path] for hook in hooks]


def test_the_hook_looks_where_it_was_installed_from(v2: FakeKernel, tmp_path: Path) -> None:
    bundles = [tmp_path / name for name in ("one", "two")]
    for bundle in bundles:
        bundle.mkdir()
        (bundle / "config.json").write_text("{}")
    words = [sys.executable, "-m", "cputune", "--config-dir", str(tmp_path / "own"), "hook", "install", "runc"]
    done = subprocess.run([*words, *map(str, bundles)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for bundle in bundles:
        assert f"--config-dir={tmp_path}/own hook run runc" in (bundle / "config.json").read_text()


@pytest.mark.parametrize("missing", ["", "/nonexistent"])
def test_hooks_of_several_bundles_are_installed_all_or_none(tmp_path: Path, missing: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    words = [sys.executable, "-m", "cputune", "hook", "install", "crun", str(tmp_path), missing]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (tmp_path / "config.json").read_text() == "{}"


@pytest.mark.parametrize("change", [install, remove])
def test_no_drop_in_without_systemd(v2: FakeKernel, change: Callable[..., Iterator[str]]) -> None:
    with pytest.raises(Unsupported):
        list(change(v2, "systemd", ("x.service",)))


def test_hooks_are_not_for_a_host_elsewhere_and_need_a_runtime(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "hook", "install", "podman").status == 4
    assert cputune(v2, "hook", "install").status == 2
    assert "podman: not installed" in cputune(v2, "hook", "show").out.splitlines()
