"""Hooks are installed and removed: all of them or none."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cputune.core.errors import NoPermission, Unsupported
from cputune.guard.hooks.files import installed_paths
from cputune.guard.hooks.installer import install, remove
from cputune.host.rights import acting_as
from cputune.host.system import Host
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel
from tests.support.hooks import BUNDLE, CALL, hook_file

USER = 4242
SECRET = '{"ociVersion": "1.0.2", "auths": "c2VjcmV0"}'


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cputune that only root can change, wherever the tests are."""
    monkeypatch.setattr("cputune.guard.hooks.installer.trusted_command", lambda _: CALL)


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


def test_the_hook_looks_where_it_was_installed_from(installed: None, cputune: CommandLine, tmp_path: Path) -> None:
    bundles = [tmp_path / name for name in ("one", "two")]
    for bundle in bundles:
        bundle.mkdir()
        (bundle / "config.json").write_text(BUNDLE)
    words = ("--config-dir", str(tmp_path / "own"), "hook", "install", "runc")
    assert cputune(Host(), *words, *map(str, bundles)).status == 0
    for bundle in bundles:
        assert f"--config-dir={tmp_path}/own hook run runc" in (bundle / "config.json").read_text()


@pytest.mark.parametrize("missing", ["", "/nonexistent"])
def test_hooks_of_several_bundles_are_installed_all_or_none(
    installed: None, cputune: CommandLine, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "config.json").write_text(BUNDLE)
    assert cputune(Host(), "hook", "install", "crun", str(tmp_path), missing).status == 2
    assert (tmp_path / "config.json").read_text() == BUNDLE


@pytest.mark.parametrize("change", [install, remove])
def test_no_drop_in_without_systemd(v2: FakeKernel, change: Callable[..., Iterator[str]]) -> None:
    with pytest.raises(Unsupported):
        list(change(v2, "systemd", ("x.service",)))


def test_hooks_are_not_for_a_host_elsewhere_and_need_a_runtime(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "hook", "install", "podman").status == 4
    assert cputune(v2, "hook", "install").status == 2
    assert "podman: not installed" in cputune(v2, "hook", "show").out.splitlines()


def of_user(path: Path) -> Path:
    os.chown(path, USER, USER, follow_symlinks=False)
    return path


def a_bundle(folder: Path, kind: str) -> Path:
    """A bundle that a user has made, or can make something else of; root's secret is beside it."""
    secret, bundle = folder / "secret.json", folder / "bundle"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    bundle.mkdir()
    config = bundle / "config.json"
    match kind:
        case "link to root's":
            config.symlink_to(secret)
        case "hard link to root's":
            os.link(secret, config)
        case "fifo":
            os.mkfifo(config)
        case "device":
            config.symlink_to("/dev/zero")
        case "link of a user's in a directory of everybody's":
            bundle.chmod(0o1777)
            config.symlink_to(secret)
        case "link to the bundle":
            theirs = of_user(folder / "theirs")
            bundle.rename(folder / "real")
            of_user(folder / "real")
            bundle.symlink_to(folder / "real")
            (folder / "real/config.json").write_text(SECRET)
            return theirs.parent / "bundle"
        case _:
            config.write_text(SECRET)
    if kind == "everybody's":
        bundle.chmod(0o777)
        return bundle
    of_user(config)
    if not kind.endswith("of everybody's") and kind != "only the file":
        of_user(bundle)
    return bundle


@pytest.mark.parametrize("action", ["install", "remove", "show"])
@pytest.mark.parametrize(
    "kind",
    [
        "file", "only the file", "link to root's", "hard link to root's", "fifo", "device", "everybody's",
        "link of a user's in a directory of everybody's", "link to the bundle",
    ],
)  # fmt: skip
def test_a_bundle_of_a_users_is_not_for_root(
    installed: None, cputune: CommandLine, tmp_path: Path, kind: str, action: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    if kind == "link to the bundle":
        (folder / "theirs").mkdir()
    bundle = a_bundle(folder, kind)
    before = sorted((str(path), os.lstat(path)) for path in folder.rglob("*"))
    done = cputune(Host(), "hook", action, "crun", str(bundle))
    assert (done.status, done.out) == (5, ""), done
    assert "c2VjcmV0" not in done.err
    assert ("belongs to user 4242, who can change it" in done.err) != (kind == "everybody's")
    after = sorted((str(path), os.lstat(path)) for path in folder.rglob("*"))
    assert [(path, status.st_ino, status.st_mtime_ns) for path, status in after] == [
        (path, status.st_ino, status.st_mtime_ns) for path, status in before
    ]


@pytest.fixture
def own_bundle() -> Iterator[Path]:
    """The bundle of a user, where that user can get at it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        bundle = of_user(Path(name))
        (bundle / "config.json").write_text(BUNDLE)
        of_user(bundle / "config.json")
        yield bundle


def test_a_user_can_edit_a_bundle_of_his_own(installed: None, own_bundle: Path) -> None:
    config = own_bundle / "config.json"
    with acting_as(USER):
        assert list(install(Host(), "crun", (str(own_bundle),))) == [f"wrote {config}"]
        assert "hook run crun" in config.read_text()
        assert config.stat().st_uid == USER
        assert list(remove(Host(), "crun", (str(own_bundle),))) == [f"wrote {config}"]
    assert json.loads(config.read_text()) == json.loads(BUNDLE)


@pytest.mark.parametrize("hard", [False, True])
def test_a_users_link_to_what_is_roots_gains_nothing_as_that_user(
    installed: None, own_bundle: Path, tmp_path: Path, hard: bool
) -> None:
    secret, config = own_bundle / "secret", own_bundle / "config.json"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    config.unlink()
    os.link(secret, config) if hard else config.symlink_to(secret)
    before = secret.stat()
    with acting_as(USER), pytest.raises(NoPermission, match=r"cannot read .*config\.json: Permission denied"):
        list(install(Host(), "crun", (str(own_bundle),)))
    assert secret.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_file_is_refused_at_once(installed: None, cputune: CommandLine, tmp_path: Path, kind: str) -> None:
    config = tmp_path / "config.json"
    os.mkfifo(config) if kind == "fifo" else config.mkdir() if kind == "directory" else config.symlink_to("/dev/zero")
    done = cputune(Host(), "hook", "install", "crun", str(tmp_path))
    assert (done.status, done.out) == (5 if kind == "device" else 7, "")
    assert ("/dev/zero can be written by others" if kind == "device" else f"cannot read {config}: ") in done.err


def test_a_link_of_roots_is_followed_and_stays(installed: None, cputune: CommandLine, tmp_path: Path) -> None:
    """As a configuration management makes one."""
    real, config = tmp_path / "real.json", tmp_path / "config.json"
    real.write_text(BUNDLE)
    real.chmod(0o640)
    os.chown(real, 0, 0)
    config.symlink_to("real.json")
    assert cputune(Host(), "hook", "install", "crun", str(tmp_path)).status == 0
    assert config.is_symlink()
    assert "hook run crun" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
    assert cputune(Host(), "hook", "remove", "crun", str(tmp_path)).status == 0
    assert json.loads(real.read_text()) == json.loads(BUNDLE)


def test_a_hook_is_shown_without_the_file_around_it(installed: None, cputune: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(SECRET)
    done = cputune(Host(), "hook", "show", "runc", str(tmp_path))
    assert done.status == 0
    assert done.out.startswith(f"# {tmp_path}/config.json: not installed\n")
    assert "hook run runc" in done.out
    assert "c2VjcmV0" not in done.out


def test_lxcs_containers_of_users_are_left_alone(
    installed: None, cputune: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cputune.guard.hooks.files._LXC_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("cputune.guard.hooks.files._LXC_DEFAULT", str(tmp_path / "default.conf"))
    monkeypatch.setattr("cputune.host.foreign.Foreign.names", lambda *_: ["ours", "theirs"])
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config").write_text("lxc.uts.name = x\n")
    of_user(tmp_path / "theirs")
    theirs = f"{tmp_path}/theirs/config: left alone: {tmp_path}/theirs belongs to user 4242, who can change it"
    done = cputune(Host(), "hook", "install", "lxc")
    assert (done.status, theirs in done.out.splitlines()) == (0, True), done
    assert "hook run lxc" in (tmp_path / "ours/config").read_text()
    assert (tmp_path / "theirs/config").read_text() == "lxc.uts.name = x\n"
    assert cputune(Host(), "hook", "install", "lxc", "theirs").status == 5
    done = cputune(Host(), "hook", "remove", "lxc")
    assert (done.status, theirs in done.out.splitlines()) == (0, True), done
    assert (tmp_path / "ours/config").read_text() == "lxc.uts.name = x\n"
