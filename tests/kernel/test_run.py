"""`cputune run` from the outside: the installed command, real processes, the real kernel."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.core.names import file_name
from tests.support.lab import Lab, remove_tree
from tests.support.waiting import SECONDS, until

# Prints its own limit, from the file itself.
OWN_LIMIT = """
import sys
version, mount, root, *files = sys.argv[1:]
lines = [line.rstrip("\\n").split(":", 2) for line in open("/proc/self/cgroup")]
path = next(path for _, names, path in lines if ("cpu" in names.split(",")) == (version == "1") and
            (names == "" or version == "1"))
print(*(open(f"{mount}{path.removeprefix(root.rstrip('/'))}/{file}").read().strip() for file in files))
"""
LIMIT_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}


class Program:
    """The installed command, with directories of its own, and a name that nobody else has."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.name = f"test-{os.getpid()}-{time.monotonic_ns()}"
        self.state = folder / "state"
        own = {"CPUTUNE_STATE_DIR": str(self.state), "CPUTUNE_CONFIG_DIR": str(folder / "config")}
        own["CPUTUNE_DATA_DIR"] = str(folder / "data")
        self.env = {**os.environ, **own}

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cputune", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.env, text=True, **{**pipes, **options})  # type: ignore[call-overload,no-any-return]

    def __call__(self, *words: str) -> tuple[int, str, str]:
        return end(self.start(*words))

    def run(self, *words: str) -> tuple[int, str, str]:
        """`cputune run --name NAME ...`."""
        return self("run", "--name", self.name, *words)

    def cgroup(self) -> str:
        """The cgroup of the command."""
        self.lab.host.state_dir = str(self.state)
        limit = self.lab.tuner.find(f"run:{self.name}").limit_cgroup
        assert limit is not None
        return limit

    def traces(self) -> list[str]:
        """What is left of the command: directories with its name, and records."""
        hierarchy = self.lab.cgroups.hierarchy
        found = [
            os.path.join(folder, name)
            for mount in filter(None, (hierarchy.mount, hierarchy.acct))
            for folder, names, _ in os.walk(mount)
            for name in names
            if file_name(self.name) in name
        ]
        return found + [str(path) for path in self.state.rglob("*") if path.is_file() and path.name != "locks"]

    def figures(self, tail: str) -> re.Pattern[str]:
        """What stderr says at the end."""
        number = r"[0-9]+\.[0-9]{3}"
        return re.compile(
            rf"cputune: run:{self.name}: ran {number} s, used {number} s of CPU, {number} CPUs on average {tail}\n"
        )


@pytest.fixture
def program(real: Lab, tmp_path: Path) -> Iterator[Program]:
    program = Program(real, tmp_path)
    yield program
    for trace in program.traces():
        if os.path.isdir(trace):
            for pid in Path(trace, "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            remove_tree(real.host, trace)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def end(process: subprocess.Popen[str], signum: int = 0) -> tuple[int, str, str]:
    """The exit status and the rest of the output, after a signal."""
    if signum:
        process.send_signal(signum)
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, err


# --- a command from its beginning to its end --------------------------------------------------------------------------


def test_limits_are_in_force_before_the_first_instruction(program: Program) -> None:
    hierarchy = program.lab.cgroups.hierarchy
    words = [sys.executable, "-c", OWN_LIMIT, str(hierarchy.version), hierarchy.mount, hierarchy.root]
    status, out, err = program.run(
        "--quota", "25000", "--period", "50000", "--", *words, *LIMIT_FILES[hierarchy.version]
    )
    assert (status, out) == (0, "25000 50000\n")
    # Python's own start may well use up what it has in a period.
    held = r"(never throttled|throttled in [0-9]+ of [0-9]+ periods \([0-9]+%\), for [0-9.]+ s)"
    assert program.figures(rf"\(limit 0\.5 CPUs\); {held}").fullmatch(err)
    assert program.traces() == []


def test_without_a_limit_there_is_none(program: Program) -> None:
    status, out, err = program.run("--", "echo", "hello")
    assert (status, out) == (0, "hello\n")
    assert program.figures(r"\(no limit\); never throttled").fullmatch(err)
    assert program.traces() == []


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
def test_the_exit_status_is_the_commands(program: Program, script: str, status: int) -> None:
    assert program.run("--", "sh", "-c", script)[:2] == (status, "")
    assert program.traces() == []


def test_a_command_that_is_not_there_is_127(program: Program) -> None:
    error = "cputune: error: cannot execute no-such-command: No such file or directory\n"
    assert program.run("--cpus", "0.5", "--", "no-such-command") == (127, "", error)
    assert program.traces() == []


def test_a_command_that_is_no_program_is_126(program: Program, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program\n")
    error = f"cputune: error: cannot execute {tmp_path}/text: Permission denied\n"
    assert program.run("--", f"{tmp_path}/text") == (126, "", error)
    assert program.traces() == []


def test_a_busy_command_is_throttled_and_told_so(program: Program) -> None:
    stat = f"{program.lab.cgroups.hierarchy.mount}/cputune/{program.name}/cpu.stat"
    until_throttled = f"while grep -q '^nr_throttled 0$' {stat}; do :; done; exit 7"
    status, out, err = program.run("--cpus", "0.05", "--", "sh", "-c", until_throttled)
    assert (status, out) == (7, "")
    throttled = r"\(limit 0\.05 CPUs\); throttled in ([0-9]+) of ([0-9]+) periods \([0-9]+%\), for [0-9]+\.[0-9]{3} s"
    match = program.figures(throttled).fullmatch(err)
    assert match, err
    assert 1 <= int(match[1]) <= int(match[2])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ("--quota", "5"),
            "--quota: '5' is not in range: 1000..17592186044415 microseconds, or unlimited\nhint: cputune set --help\n",
        ),
        (
            ("--quota", "5000", "--burst", "6000"),
            "--burst: 6000 is not in range: 0..5000 microseconds, with quota 5000 with period 100000\n",
        ),
    ],
)
def test_with_a_limit_that_cannot_be_the_command_does_not_start(
    program: Program, words: tuple[str, ...], error: str
) -> None:
    assert program.run(*words, "--", "echo", "started") == (2, "", f"cputune: error: {error}")
    assert program.traces() == []


def test_weight_and_idle_are_in_force(program: Program) -> None:
    process = program.start("run", "--name", program.name, "--idle", "--", "sh", "-c", "echo up; exec sleep 99")
    assert line(process) == "up"
    assert program.lab.cgroups.read(program.cgroup()).idle is True
    assert end(process, signal.SIGTERM)[0] == 143
    assert program.traces() == []


# --- signals ----------------------------------------------------------------------------------------------------------

COUNT_INTERRUPTS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
print("ready", flush=True)
signal.sigwait({signal.SIGINT})
print("one", flush=True)
count = 1
while signal.sigtimedwait({signal.SIGINT}, 1):
    count += 1
print(f"n={count}")
"""
PATIENT = "echo ready; while :; do sleep 0.05; done"  # notices a signal that it traps
STEADY = "echo ready; exec sleep 99"  # one process, which a signal ends


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2", "INT", "QUIT"])
def test_a_signal_is_passed_on(program: Program, name: str) -> None:
    script = f"trap 'echo got {name}; exit 3' {name}; {PATIENT}"
    process = program.start("run", "--name", program.name, "--", "sh", "-c", script)
    assert line(process) == "ready"
    assert end(process, signal.Signals[f"SIG{name}"])[:2] == (3, f"got {name}\n")
    assert program.traces() == []


def test_a_signal_that_ends_the_command_is_the_exit_status(program: Program) -> None:
    process = program.start("run", "--name", program.name, "--", "sh", "-c", STEADY)
    assert line(process) == "ready"
    assert end(process, signal.SIGTERM)[0] == 143
    assert program.traces() == []


def test_sigint_to_the_process_group_leaves_the_last_word_to_the_command(program: Program) -> None:
    """Which gets it twice: as one of the group, and from cputune, to which nobody says that it was for the group."""
    script = f"trap 'exit 5' INT; {PATIENT}"
    words = ("run", "--name", program.name, "--", "sh", "-c", script)
    process = program.start(*words, start_new_session=True)
    assert line(process) == "ready"
    os.killpg(process.pid, signal.SIGINT)
    assert end(process)[:2] == (5, "")
    assert program.traces() == []


def test_ctrl_c_on_a_terminal_reaches_the_command_once(program: Program) -> None:
    """cputune is stopped meanwhile: two signals at the same time would look like one."""
    ours, process = on_a_terminal(program, sys.executable, "-c", COUNT_INTERRUPTS)
    read_until(ours, b"ready")
    process.send_signal(signal.SIGSTOP)
    os.write(ours, b"\x03")
    read_until(ours, b"one")
    process.send_signal(signal.SIGCONT)
    assert b"n=1\r\n" in read_until(ours, b"cputune: run:")
    assert process.wait(SECONDS) == 0
    os.close(ours)
    assert program.traces() == []


def test_a_terminal_that_is_closed_ends_the_command_and_leaves_nothing(program: Program) -> None:
    ours, process = on_a_terminal(program, "sh", "-c", STEADY)
    read_until(ours, b"ready")
    os.close(ours)
    assert process.wait(SECONDS) == 129
    assert program.traces() == []


def on_a_terminal(program: Program, *command: str) -> tuple[int, subprocess.Popen[str]]:
    """Run a command on a terminal of its own: our end of it, and the process."""
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    words = ("run", "--name", program.name, "--", *command)
    process = program.start(
        *words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=take_terminal
    )
    os.close(theirs)
    return ours, process


def read_until(terminal: int, word: bytes) -> bytes:
    """What comes from a terminal, up to the end of the line with this word."""
    text = b""
    while word not in text or not text.endswith(b"\n"):
        text += os.read(terminal, 1024)
    return text


# --- while it runs, and what it leaves --------------------------------------------------------------------------------


def test_another_terminal_can_change_it(program: Program) -> None:
    words = ("run", "--name", program.name, "--cpus", "0.5", "--", "sh", "-c", STEADY)
    process = program.start(*words)
    assert line(process) == "ready"
    said = f"run:{program.name}: live: quota 50000 -> 20000\n"
    assert program("set", f"run:{program.name}", "--quota", "20000") == (0, said, "")
    assert program("set", program.name, "--burst", "5")[0] == 0
    state = program.lab.cgroups.read(program.cgroup())
    assert (state.quota, state.burst) == (20000, 5)
    out = program("schedinfo", program.name)[1]
    assert out == "Scheduler      : posix\ncpu_shares     : 1024\nvcpu_period    : 100000\nvcpu_quota     : 20000\n\n"
    assert "(limit 0.2 CPUs)" in end(process, signal.SIGTERM)[2]
    assert program.traces() == []


def test_a_configuration_cannot_be_saved_for_it(program: Program) -> None:
    process = program.start("run", "--name", program.name, "--", "sh", "-c", STEADY)
    assert line(process) == "ready"
    domain = f"run:{program.name}"
    error = f"cputune: error: cannot change persistent config of a transient domain: {domain}\n"
    hint = f"hint: change it while it runs: cputune set {domain} ... --live\n"
    assert program("set", domain, "--quota", "20000", "--config") == (6, "", error + hint)
    end(process, signal.SIGTERM)


def test_a_name_that_is_taken_is_refused(program: Program) -> None:
    process = program.start("run", "--name", program.name, "--", "sh", "-c", STEADY)
    assert line(process) == "ready"
    error = f"cputune: error: run:{program.name} already exists (cgroup {program.cgroup()})\n"
    hint = "hint: give another name: cputune run --name ...\n"
    assert program.run("--", "echo", "started") == (6, "", error + hint)
    assert process.poll() is None
    assert end(process, signal.SIGTERM)[0] == 143
    assert program.traces() == []


def test_processes_that_stay_behind_keep_their_limits_and_are_named(program: Program) -> None:
    status, out, err = program.run("--cpus", "0.5", "--", "sh", "-c", "sleep 99 >&- 2>&- & echo $!")
    pid = int(out)
    try:
        cgroup = program.cgroup()
        directory = program.lab.cgroups.directory(cgroup)
        said = (
            f"cputune: run:{program.name}: processes are still running in {directory}, which is kept with its limits: "
        )
        assert (status, err.splitlines()[1]) == (0, f"{said}{pid}")
        assert program.lab.cgroups.read(cgroup).quota == 50000
        assert program("set", program.name, "--cpus", "0.25")[0] == 0
        assert program.run("--", "true")[0] == 6
    finally:
        os.kill(pid, signal.SIGKILL)


def test_figures_that_nobody_reads_change_nothing(program: Program) -> None:
    """The reader of stderr has gone: as in `cputune run ... 2>&1 | head -1`."""
    process = program.start("run", "--name", program.name, "--", "sh", "-c", "echo ready; read -r _; exit 7", stdin=-1)
    assert line(process) == "ready"
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    process.communicate("\n")
    assert (process.returncode, program.traces()) == (7, [])


def test_many_at_once_do_not_get_into_each_others_way(program: Program) -> None:
    """They share one parent, which the last removes and the next makes anew."""
    for round_ in range(3):
        names = [f"{program.name}-{round_}-{number}" for number in range(6)]
        words = ("--cpus", "0.5", "--", "true")
        processes = [program.start("run", "--name", name, *words) for name in names]
        ended = [end(process) for process in processes]
        assert [(status, err) for status, _, err in ended if status or err.count("\n") > 1] == []
    assert program.traces() == []


def test_one_name_at_once_has_one_winner(program: Program) -> None:
    """The winner runs until all others have lost, however slowly they start."""
    for _ in range(3):
        command = ("run", "--name", program.name, "--", "sh", "-c", "echo started; read -r _")
        processes = [program.start(*command, stdin=subprocess.PIPE) for _ in range(5)]
        until(lambda: sum(process.poll() is not None for process in processes) == 4)  # noqa: B023
        ended = [
            (process.returncode, *process.communicate("\n")[:1]) for process in processes if process.poll() is not None
        ]
        (winner,) = [process for process in processes if process.returncode is None]
        assert ended == [(6, "")] * 4
        assert (winner.communicate("\n")[0], winner.returncode) == ("started\n", 0)
    assert program.traces() == []


def test_a_group_that_has_processes_is_taken_though_nothing_is_recorded_yet(program: Program) -> None:
    """As another cputune leaves it for an instant, between making its cgroup and its record."""
    first = program.start("run", "--name", program.name, "--", "sh", "-c", STEADY)
    assert line(first) == "ready"
    record = program.state / "run" / program.name
    text = record.read_text()
    record.unlink()
    status, out, _ = program.run("--", "echo", "started")
    record.write_text(text)
    end(first, signal.SIGTERM)
    assert (status, out) == (6, "")


def test_a_name_that_is_no_file_name_finds_its_place(program: Program) -> None:
    program.name = f"{program.name} ü"
    process = program.start("run", "--name", program.name, "--", "sh", "-c", STEADY)
    assert line(process) == "ready"
    assert program("set", f"run:{program.name}", "--cpus", "0.5")[0] == 0
    assert program.lab.cgroups.read(program.cgroup()).quota == 50000
    assert end(process, signal.SIGTERM)[0] == 143
    assert program.traces() == []


@pytest.mark.parametrize("name", ["a/b", "..", "/"])
def test_a_name_that_would_lead_elsewhere_is_refused(program: Program, name: str) -> None:
    error = f"cputune: error: --name: {name} is not a valid name: it contains a slash or is too long\n"
    assert program("run", "--name", name, "--", "true") == (2, "", error)


def test_what_is_left_when_the_last_process_has_ended_too_is_swept_by_the_next_run(program: Program) -> None:
    status, out, _ = program.run("--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    assert status == 0
    assert f"run:{program.name}" in program("status", "--runtime", "run")[1]
    os.kill(int(out), signal.SIGKILL)
    until(lambda: f"run:{program.name}" not in program("status", "--runtime", "run")[1])
    assert program.traces() != []
    assert program("run", "--name", f"other-{os.getpid()}", "--", "true")[0] == 0
    assert program.traces() == []


def test_the_exit_status_is_the_commands_though_its_cgroup_has_gone(program: Program) -> None:
    hierarchy = program.lab.cgroups.hierarchy
    mounts = dict.fromkeys((hierarchy.mount, hierarchy.acct or hierarchy.mount))
    leave = "; ".join(f"echo $$ >{mount}/cgroup.procs; rmdir {mount}/cputune/{program.name}" for mount in mounts)
    status, _, err = program.run("--", "sh", "-c", f"{leave}; exit 3")
    assert status == 3
    assert re.fullmatch(rf"cputune: run:{program.name}: ran \S+ s; cannot read \S+: No such file or directory\n", err)
    assert program.traces() == []


def test_the_end_is_heard_of_though_sigchld_was_ignored(program: Program) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    process = program.start("run", "--name", program.name, "--", "sh", "-c", "exit 3", preexec_fn=ignore)
    assert end(process)[0] == 3
    assert program.traces() == []
