"""The command line as a process: its host and directories, and signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cputune.cli.main import cli, run
from tests.support.commandline import STATUS, error
from tests.support.hosts import Scratch
from tests.support.process import environment, process


def test_the_host_and_the_directories_by_option(scratch: Scratch, tmp_path: Path) -> None:
    own = ("--root", str(scratch.directory), "--config-dir", str(tmp_path / "c"), "--state-dir", str(tmp_path / "s"))
    done = process(*own, "set", "lxc:mydom", "--quota", "50000", "--live", "--config")
    assert done == (0, "lxc:mydom: live: quota unlimited -> 50000\nlxc:mydom: config: quota unset -> 50000\n", "")
    assert scratch.text("/sys/fs/cgroup/lxc.payload.mydom/cpu.max") == "50000 100000"
    assert (tmp_path / "c/domains/lxc/mydom.yaml").exists()
    assert (tmp_path / "s/applied/lxc/mydom").exists()
    assert not scratch.path("/etc/cputune").exists()
    assert not scratch.path("/run/cputune").exists()


def test_the_host_and_the_directories_by_environment(scratch: Scratch, tmp_path: Path) -> None:
    done = process(
        "set", "lxc:stopped", "--quota", "50000",
        CPUTUNE_ROOT=str(scratch.directory),
        CPUTUNE_CONFIG_DIR=str(tmp_path / "c"),
        CPUTUNE_STATE_DIR=str(tmp_path / "s"),
        CPUTUNE_DATA_DIR=str(tmp_path / "d"),
    )  # fmt: skip
    assert done == (0, "lxc:stopped: config: quota unset -> 50000\n", "")
    assert (tmp_path / "c/domains/lxc/stopped.yaml").exists()
    assert (tmp_path / "s/locks").exists()


def test_an_option_wins_over_the_environment(scratch: Scratch, tmp_path: Path) -> None:
    done = process("--root", str(scratch.directory), "schedinfo", "lxc:mydom", CPUTUNE_ROOT=str(tmp_path / "nowhere"))
    assert done.status == 0


def test_without_the_other_two_everything_is_below_the_root(scratch: Scratch) -> None:
    done = process("set", "lxc:stopped", "--quota", "50000", CPUTUNE_ROOT=str(scratch.directory))
    assert done.status == 0
    assert scratch.path("/etc/cputune/domains/lxc/stopped.yaml").exists()


def test_an_error_of_a_process(scratch: Scratch) -> None:
    assert process("schedinfo", "nosuch", CPUTUNE_ROOT=str(scratch.directory)) == (
        3,
        "",
        error("no domain nosuch", STATUS),
    )


WAITS = """
import os, sys, time
from cputune.cli import main
from cputune.app import schedinfo
def wait(*_):
    print("waiting", flush=True)
    time.sleep(60)
schedinfo.schedinfo = wait
main.catch_signals()
sys.exit(main.run(["schedinfo", "lxc:mydom"]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_128_and_its_number(scratch: Scratch, signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env=environment(CPUTUNE_ROOT=str(scratch.directory)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signum)
        said = child.stderr.read()
    first = "\n" if signum == signal.SIGINT else ""  # click ends the line that has ^C in it
    assert (child.returncode, said) == (128 + signum, first + error(f"interrupted by signal {int(signum)}"))


def test_run_returns_what_the_process_exits_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(status: object) -> Callable[..., object]:
        return lambda *_, **__: status

    monkeypatch.setattr(cli, "main", answer(None))
    assert run([]) == 0
    monkeypatch.setattr(cli, "main", answer(6))
    assert run([]) == 6
