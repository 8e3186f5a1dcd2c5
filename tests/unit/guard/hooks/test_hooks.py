"""Hooks: what is written into the runtimes' files, taken out again, and done when a runtime calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cputune.app.schedinfo import schedinfo
from cputune.app.tuner import Tuner
from cputune.core.errors import CpuTuneError, Unsupported, UsageError, WrongState
from cputune.guard.hooks.files import hook_files, installed_paths
from cputune.guard.hooks.handler import handle
from cputune.guard.hooks.hook_file import HookFile
from cputune.guard.hooks.installer import install, remove
from tests.support.commandline import CommandLine
from tests.support.containers import save
from tests.support.fakekernel import FakeKernel, Kernel

CALL = ("/usr/bin/cputune",)


def hook_file(host: FakeKernel, runtime: str, *names: str) -> HookFile:
    return hook_files(host, runtime, names, CALL)[0]


def called(runtime: str) -> str:
    """What a shell is to run: true, whatever comes of it."""
    return f"[ ! -x /usr/bin/cputune ] || /usr/bin/cputune hook run {runtime} || :"


def test_podmans_hook_is_a_file_that_podman_reads(v2: FakeKernel) -> None:
    hook = hook_file(v2, "podman")
    assert hook.path == "/usr/share/containers/oci/hooks.d/cputune.json"
    assert json.loads(hook.with_hook(None)) == {
        "version": "1.0.0",
        "hook": {"path": "/bin/sh", "args": ["sh", "-c", called("podman")]},
        "when": {"always": True},
        "stages": ["createRuntime"],
    }
    assert hook.without_hook("whatever") is None
    v2.put_file("/etc/containers/containers.conf", '[engine]\nhooks_dir = ["/usr/x", "/etc/own",\n]\n')
    assert hook_file(v2, "podman").path == "/etc/own/cputune.json"


def test_libvirts_hook_is_a_program(v2: FakeKernel) -> None:
    hook = hook_file(v2, "libvirt")
    assert (hook.path, hook.mode) == ("/etc/libvirt/hooks/lxc.d/cputune", 0o755)
    assert hook.with_hook(None).endswith(
        '\n[ ! -x /usr/bin/cputune ] || /usr/bin/cputune hook run libvirt -- "$@" || :\n'
    )


def test_a_services_hook_is_a_drop_in(v2: FakeKernel) -> None:
    for name in ("nginx", "nginx.service"):
        hook = hook_file(v2, "systemd", name)
        assert hook.path == "/etc/systemd/system/nginx.service.d/50-cputune.conf"
        assert hook.with_hook(None) == "[Service]\nExecStartPre=-+/usr/bin/cputune hook run systemd %n\n"
    for name in ("nginx.slice", "../x.service", "a/b"):
        with pytest.raises(UsageError):
            hook_file(v2, "systemd", name)


@pytest.mark.parametrize("text", ["", "lxc.uts.name = web\n", "lxc.uts.name = web\n# the end"])
def test_a_line_in_lxcs_configuration_comes_and_goes(v2: FakeKernel, text: str) -> None:
    hook = hook_file(v2, "lxc", "web")
    assert hook.path == "/var/lib/lxc/web/config"
    with_it = hook.with_hook(text)
    assert with_it.endswith(f"\nlxc.hook.start-host = /bin/sh -c '{called('lxc')}'\n"[0 if text else 1 :])
    assert with_it.startswith(text)
    assert hook.with_hook(with_it) == with_it
    assert (hook.contains_hook(text), hook.contains_hook(with_it), hook.contains_hook(None)) == (False, True, False)
    assert hook.without_hook(with_it) == text + ("\n" if text and not text.endswith("\n") else "")


def test_of_all_of_lxcs_containers_and_of_new_ones(v2: FakeKernel) -> None:
    v2.put_file("/etc/lxc/default.conf", "lxc.net.0.type = empty\n")
    assert [one.path for one in hook_files(v2, "lxc", (), CALL)] == [
        *(f"/var/lib/lxc/{name}/config" for name in ("db", "old", "web")),
        "/etc/lxc/default.conf",
    ]
    with pytest.raises(UsageError, match="no LXC container of this name: nobody"):
        hook_file(v2, "lxc", "nobody")


CONFIG = {"ociVersion": "1.0.2", "hooks": {"createRuntime": [{"path": "/bin/other"}], "poststop": [{"path": "/bin/x"}]}}


@pytest.mark.parametrize("config", [{"ociVersion": "1.0.2"}, CONFIG, {"hooks": {"poststop": [{"path": "/bin/x"}]}}])
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_an_entry_in_a_bundle_comes_and_goes(v2: FakeKernel, runtime: str, config: dict[str, object]) -> None:
    hook = hook_file(v2, runtime, "/srv/web")
    assert hook.path == "/srv/web/config.json"
    text = json.dumps(config)
    with_it = hook.with_hook(text)
    assert json.loads(with_it)["hooks"]["createRuntime"][-1] == {
        "path": "/bin/sh",
        "args": ["sh", "-c", called(runtime)],
    }
    assert json.loads(hook.with_hook(with_it)) == json.loads(with_it)
    assert (hook.contains_hook(text), hook.contains_hook(with_it)) == (False, True)
    assert json.loads(hook.without_hook(with_it) or "") == config


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hooks": []}', '{"hooks": {"createRuntime": {}}}', "null"])
def test_what_is_no_bundle(v2: FakeKernel, text: str) -> None:
    with pytest.raises(WrongState):
        hook_file(v2, "crun", "/srv/web").with_hook(text)
    with pytest.raises(CpuTuneError):
        hook_file(v2, "crun", "/srv/web").with_hook(None)


@pytest.mark.parametrize(("runtime", "names"), [("podman", ("x",)), ("libvirt", ("x",)), ("runc", ()), ("systemd", ())])
def test_names_are_for_runtimes_that_take_some(v2: FakeKernel, runtime: str, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        hook_files(v2, runtime, names, CALL)


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


# --- called by a runtime ----------------------------------------------------------------------------------------------


def test_lxc_calls_with_the_name_in_the_environment(v2: FakeKernel) -> None:
    tuner = Tuner(v2)
    assert handle(tuner, "lxc", (), {"LXC_NAME": "web"}, str) is None  # nothing is saved
    save(v2, "web", "version: 1\nquota: 50000\n")
    domain = handle(tuner, "lxc", ("web", "lxc", "start-host"), {"LXC_NAME": "web"}, str)
    assert domain
    assert domain.qualified == "lxc:web"
    assert schedinfo(tuner, "lxc:web").tune.quota == 50000
    assert tuner.history() == []
    with pytest.raises(UsageError):
        handle(tuner, "lxc", (), {}, str)


@pytest.mark.parametrize("program", ["runc", "crun"])
def test_an_oci_runtime_calls_with_the_state_on_standard_input(v2: FakeKernel, program: str) -> None:
    v2.mkdir("/sys/fs/cgroup/box")
    v2.add_process(4711, "/box")
    path = Path(v2.config_dir) / f"domains/oci/{program}%2Fbox.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("version: 1\nquota: 50000\n")
    domain = handle(Tuner(v2), program, (), {}, lambda: '{"id": "box", "pid": 4711}')
    assert domain
    assert (domain.qualified, domain.limit_cgroup) == (f"oci:{program}/box", "/box")
    assert v2.read("/sys/fs/cgroup/box/cpu.max") == "50000 100000\n"
    for text in ("", "[]", '{"id": "box"}', '{"pid": 4711}', '{"id": "box", "pid": "4711"}'):
        with pytest.raises(UsageError):
            handle(Tuner(v2), program, (), {}, lambda text=text: text)  # type: ignore[misc]


def test_a_hook_ends_with_0_whatever_comes_of_it(v2: FakeKernel, cputune: CommandLine) -> None:
    status, out, err = cputune(v2, "hook", "run", "systemd")
    assert (status, out) == (0, "")
    assert err == "cputune: hook run systemd: systemd passed no domain name\n"
    assert cputune(v2, "hook", "run", "systemd", "x.service").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("run", "libvirt", "-x", "start", "begin", "-"),
        ("run", "libvirt", "--", "--help", "started", "begin", "-"),
        ("run", "crun"),
        ("run", "lxc", "web", "lxc", "start-host"),
        ("run",),
    ],
)
def test_a_hook_takes_any_words(v2: FakeKernel, words: tuple[str, ...]) -> None:
    lines = [sys.executable, "-m", "cputune", "--root", v2.root, "hook", *words]
    for text in (b"", b"\xff\xfe{", b'{"id": "\xff", "pid": 1}'):
        assert subprocess.run(lines, input=text, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("installed", [False, True])
def test_what_a_runtime_runs_is_true_whatever_cputune_says(tmp_path: Path, *, installed: bool) -> None:
    program = tmp_path / "a path" / "cputune"
    program.parent.mkdir()
    if installed:
        program.write_text('#!/bin/sh\necho "$@" >"$0.called"; exit 3\n')
        program.chmod(0o755)
    hook = json.loads(
        hook_files(FakeKernel(tmp_path / "host", Kernel(2)), "podman", (), (str(program),))[0].with_hook(None)
    )
    assert subprocess.run(hook["hook"]["args"], check=False).returncode == 0
    assert Path(f"{program}.called").exists() is installed


def test_hooks_are_not_for_a_host_elsewhere_and_need_a_runtime(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "hook", "install", "podman").status == 4
    assert cputune(v2, "hook", "install").status == 2
    assert "podman: not installed" in cputune(v2, "hook", "show").out.splitlines()
