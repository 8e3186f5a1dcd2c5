"""The files in which a runtime finds a hook: what is written into them, and taken out again."""

from __future__ import annotations

import json

import pytest

from cputune.core.errors import CpuTuneError, UsageError, WrongState
from cputune.guard.hooks.files import hook_files
from tests.support.fakekernel import FakeKernel
from tests.support.hooks import CALL, hook_file


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


V = {"ociVersion": "1.0.2"}
CONFIG = {**V, "hooks": {"createRuntime": [{"path": "/bin/other"}], "poststop": [{"path": "/bin/x"}]}}


@pytest.mark.parametrize("config", [V, CONFIG, {**V, "hooks": {"poststop": [{"path": "/bin/x"}]}}])
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        "[" * 100000,
        '{"auths": {}}',
        '{"ociVersion": 1}',
        '{"ociVersion": "1", "hooks": []}',
        '{"ociVersion": "1", "hooks": {"createRuntime": {}}}',
        '{"ociVersion": "1", "hooks": {"createRuntime": [5]}}',
    ],
)
def test_what_is_no_bundle(v2: FakeKernel, text: str) -> None:
    with pytest.raises(WrongState):
        hook_file(v2, "crun", "/srv/web").with_hook(text)
    with pytest.raises(CpuTuneError):
        hook_file(v2, "crun", "/srv/web").with_hook(None)


@pytest.mark.parametrize(("runtime", "names"), [("podman", ("x",)), ("libvirt", ("x",)), ("runc", ()), ("systemd", ())])
def test_names_are_for_runtimes_that_take_some(v2: FakeKernel, runtime: str, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        hook_files(v2, runtime, names, CALL)
