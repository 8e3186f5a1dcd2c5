"""What a hook does when a runtime calls it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cputune.app.schedinfo import schedinfo
from cputune.app.tuner import Tuner
from cputune.core.errors import UsageError
from cputune.guard.hooks import RUNTIMES, handler
from cputune.guard.hooks.files import hook_files
from cputune.guard.hooks.handler import handle
from tests.support import hostile
from tests.support.commandline import CommandLine
from tests.support.containers import save
from tests.support.fakekernel import FakeKernel, Kernel


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


STATE = {"ociVersion": "1.0.2", "id": "box", "pid": 4711, "status": "creating", "bundle": "/srv/box", "annotations": {}}
ids = hostile.texts | st.sampled_from(["box", "../../etc", ".", "/", "a/b", "x" * 5000, "\ud800", "*", "[", "box\n"])
numbers = st.integers() | st.sampled_from([4711, 0, -1, 1, 2**31, 2**64, 10**400]) | hostile.scalars
states = (
    st.builds(lambda id_, pid: json.dumps({**STATE, "id": id_, "pid": pid}).encode(), ids, numbers)
    | st.builds(
        lambda key, value: json.dumps({**STATE, key: value}).encode(), st.sampled_from(list(STATE)), hostile.values
    )
    | hostile.values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200)
    | st.sampled_from([b"[" * 100_000, b'{"pid": ' + b"9" * 10_000 + b"}", b'{"id": "box", "pid": 4711', b"\xff\xfe{}"])
)
"""What a hook may find on its standard input."""
words = st.lists(
    hostile.texts.filter(lambda text: "\0" not in text) | st.sampled_from(["begin", "start", "web"]), max_size=3
)


@settings(parent=hostile.one_host, max_examples=300)
@given(runtime=st.sampled_from(RUNTIMES), arguments=words, name=st.none() | hostile.texts, stdin=states)
def test_whatever_a_runtime_says_is_done_or_is_one_line(
    v2: FakeKernel,
    cputune: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    arguments: list[str],
    name: str | None,
    stdin: bytes,
) -> None:
    if not v2.exists("/sys/fs/cgroup/box"):
        v2.mkdir("/sys/fs/cgroup/box")
        v2.add_process(4711, "/box")
        for program in ("runc", "crun"):
            v2.put_file(f"/etc/cputune/domains/oci/{program}%2Fbox.yaml", "version: 1\nquota: 50000\n")
        v2.put_file("/etc/cputune/domains/lxc/%2A.yaml", "version: 1\nquota: 50000\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    monkeypatch.setattr(handler, "own_environment", lambda: {} if name is None else {"LXC_NAME": name})
    ended = hostile.explained(cputune(v2, "hook", "run", runtime, "--", *arguments))
    assert (ended.status, ended.out) == (0, "")
    assert ended.err.count("\n") <= 1
    assert "Error in cputune" not in ended.err  # what nobody has thought of


@pytest.mark.parametrize("runtime", ["crun", "podman"])
def test_of_standard_input_a_part_is_read(v2: FakeKernel, cputune: CommandLine, runtime: str) -> None:
    """A runtime that never stops, or has closed it, holds up no container."""
    line = f"cputune: hook run {runtime}: {runtime} passed no container state on stdin\n"
    call = [sys.executable, "-m", "cputune", "--root", v2.root, "hook", "run", runtime]
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run(call, stdin=endless, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", line)
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *call], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", line)
