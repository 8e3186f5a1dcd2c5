"""The runner, on the real kernel: what goes in, what comes out, and that nothing stays behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent


class Runner:
    """`run` with a temporary directory of its own, so that what it leaves behind can be seen."""

    def __init__(self, home: Path) -> None:
        self.cwd, self.tmp, self.program = home / "cwd", home / "tmp", HERE / "run"
        self.env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TMPDIR": str(self.tmp)}
        self.cwd.mkdir()
        self.tmp.mkdir()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(self.program), *words],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        with self.start(*words) as process:
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def leftovers(self) -> list[str]:
        """Files, and processes that still work in the temporary directory."""
        return [*map(str, self.tmp.iterdir()), *(cwd for cwd in working_directories() if cwd.startswith(str(self.tmp)))]


def working_directories() -> Iterator[str]:
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            yield os.readlink(link)
        except OSError:  # another user's, or it has ended
            continue


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def uml(run: Runner) -> Iterator[Runner]:
    if not shutil.which("linux.uml"):
        reason = "linux.uml is not installed: apt-get install user-mode-linux"
        pytest.fail(f"CPUTUNE_LAB is set, but {reason}") if "CPUTUNE_LAB" in os.environ else pytest.skip(reason)
    yield run
    assert run.leftovers() == []


# --- without a kernel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["v3", "--", "true"], b"invalid choice: 'v3'"),
        (["v2"], b"no command"),
        (["v2", "--"], b"no command"),
        (["v2", "--timeout", "0", "--", "true"], b"--timeout"),
        (["v2", "--mem", "1", "--", "true"], b"--mem"),
    ],
)
def test_bad_usage_is_refused(run: Runner, words: list[str], complaint: bytes) -> None:
    result = run(*words)
    assert (result.returncode, result.stdout) == (2, b"")
    assert complaint in result.stderr


def test_missing_kernel_is_named_with_a_hint(run: Runner) -> None:
    run.env["PATH"] = str(run.cwd)
    result = run("v2", "--", "true")
    assert (result.returncode, result.stdout) == (125, b"")
    assert b"hint: apt-get install user-mode-linux" in result.stderr
    assert run.leftovers() == []


# --- with it ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 7])
def test_exit_status_is_passed_through(uml: Runner, status: int) -> None:
    result = uml("v2", "--", "sh", "-c", f"exit {status}")
    assert (result.returncode, result.stdout, result.stderr) == (status, b"", b"")


def test_a_command_that_is_not_there_is_127(uml: Runner) -> None:
    result = uml("v2", "--", "no-such-command")
    assert (result.returncode, result.stdout) == (127, b"no-such-command: No such file or directory\n")


def test_output_is_exact(uml: Runner) -> None:
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4000); sys.exit('the end')"
    result = uml("v2", "--", sys.executable, "-c", script)
    assert result.stdout == bytes(range(256)) * 4000 + b"the end\n"
    assert (result.returncode, result.stderr) == (1, b"")


def test_output_streams_while_the_command_runs(uml: Runner) -> None:
    script = "echo first; until [ -e go ]; do sleep 0.1; done; echo second"
    with uml.start("v2", "--timeout", "60", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        (uml.cwd / "go").touch()
        assert process.stdout.read() == b"second\n"
    assert process.returncode == 0


def test_environment_is_clean(uml: Runner) -> None:
    uml.env.update(CPUTUNE_LAB="1", SECRET="1")
    result = uml("hybrid", "--", "env")
    env = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
    own = {"TMPDIR": "/tmp", "HOME": "/tmp/home", "PATH": uml.env["PATH"], "LANG": "C.UTF-8"}
    own |= {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"}
    assert env == {**own, "CPUTUNE_LAB": "1", "CPUTUNE_UML": "hybrid"}


LAYOUTS = [
    # layout, v1 mounts of cpu and cpuacct, where a group gets its limit
    ("v2", set(), "/sys/fs/cgroup", "cpu.max"),
    ("v1", {"/sys/fs/cgroup/cpu,cpuacct"}, "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
    ("v1-split", {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"}, "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
    ("hybrid", {"/sys/fs/cgroup/cpu,cpuacct"}, "/sys/fs/cgroup/cpuacct", "cpu.cfs_quota_us"),
    ("hybrid-v2", set(), "/sys/fs/cgroup/unified", "cpu.max"),
]


@pytest.mark.parametrize(("layout", "v1_mounts", "place", "file"), LAYOUTS)
def test_layout_has_the_cpu_controller_where_it_should(
    uml: Runner, layout: str, v1_mounts: set[str], place: str, file: str
) -> None:
    script = f"mkdir {place}/group && echo 5000 >{place}/group/{file} && cat /proc/self/mountinfo"
    result = uml(layout, "--", "sh", "-c", script)
    assert result.returncode == 0, result.stdout
    mounts = [line.split() for line in result.stdout.decode().splitlines()]
    assert {row[4] for row in mounts if row[-3] == "cgroup" and "cpu" in row[-1]} == v1_mounts
    unified = {"/sys/fs/cgroup"} if layout == "v2" else {"/sys/fs/cgroup/unified"} if "hybrid" in layout else set()
    assert {row[4] for row in mounts if row[-3] == "cgroup2"} == unified
    assert ("/sys/fs/cgroup/pids" in {row[4] for row in mounts}) == (layout != "v2")


def test_timeout_is_125(uml: Runner) -> None:
    result = uml("v2", "--timeout", "0.5", "--", "sleep", "1000")
    assert (result.returncode, result.stdout) == (125, b"")
    assert b"timeout after 0.5 seconds" in result.stderr


def test_panic_is_125_and_shows_the_log(uml: Runner) -> None:
    result = uml("v2", "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
    assert result.returncode == 125
    assert b"without a status" in result.stderr
    assert b"Kernel panic - not syncing: sysrq triggered crash" in result.stderr


def test_sigterm_ends_the_guest(uml: Runner) -> None:
    with uml.start("v2", "--", "sh", "-c", "echo up; sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait() == 143


def test_a_clone_under_tmp_works(uml: Runner) -> None:
    """The guest has a /tmp of its own, over which the clone and its virtual environment must be seen."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        clone, env = Path(home, "clone"), Path(home, "a venv")
        shutil.copytree(HERE, clone / "tests" / "uml", ignore=shutil.ignore_patterns("__pycache__"))
        (clone / "file").write_text("from the clone\n")
        venv.create(env, symlinks=True)
        uml.cwd, uml.program = clone / "tests", clone / "tests" / "uml" / "run"
        script = "import sys; print(open('../file').read() + sys.prefix); open('/tmp/new', 'w')"
        result = uml("v2", "--", f"{env}/bin/python", "-c", script)
        assert (result.returncode, result.stdout.decode()) == (0, f"from the clone\n{env}\n")


def test_the_host_is_read_only(uml: Runner) -> None:
    result = uml("v2", "--", "touch", "here", str(HERE / "run"))
    assert result.returncode == 1
    assert result.stdout.count(b"Read-only file system") == 2
    assert list(uml.cwd.iterdir()) == []
