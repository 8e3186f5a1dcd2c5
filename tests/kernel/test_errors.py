"""What goes wrong on a real kernel: the domain goes away, the rights are missing."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import cputune as package
from tests.support.commandline import CommandLine, Ended
from tests.support.lab import Lab, RealHost
from tests.support.machine import give_up

NOBODY = 65534


class Vanishing(RealHost):
    """This machine, where somebody removes a cgroup between planning and writing."""

    def __init__(self, folder: Path, lab: Lab, name: str, before: int = 1) -> None:
        super().__init__(folder)
        self._remove = partial(lab.remove, name)
        self._left = before

    def write(self, path: str, text: str) -> None:
        """Write; remove the cgroup before the write of that number."""
        self._left -= 1
        if self._left == 0:
            self._remove()
        super().write(path, text)


@pytest.mark.parametrize("names", [("child",), ("child", "other")])
def test_a_domain_that_goes_away_before_the_write_is_6(
    real: Lab, tmp_path: Path, names: tuple[str, ...], cputune: CommandLine
) -> None:
    real.make("child")
    real.make("other")
    host = Vanishing(tmp_path, real, "child")
    file, before = real.file("weight", "child"), {1: 1024, 2: 100}[real.version]
    weight = {1: 2048, 2: 200}[real.version]
    ended = cputune(host, "set", *map(real.name, names), "--weight", "200", "--quota", "50000")
    error = f"cputune: error: cannot write {weight} to {file} (it was {before}): No such file or directory\n"
    hint = "hint: it disappeared in the meantime; list what is running: cputune status\n"
    assert ended == Ended(6, "", error + hint)
    assert real.state("other") == real.state()
    assert host.writes == []


def test_a_second_domain_that_goes_away_puts_the_first_back(real: Lab, tmp_path: Path, cputune: CommandLine) -> None:
    real.make("child", quota=30000, burst=10000)
    real.make("other")
    before = real.state("child")

    host = Vanishing(tmp_path, real, "other", before=3)
    assert cputune(host, "set", real.name("child"), real.name("other"), "--quota", "5000", "--burst", "0").status == 6
    assert len(host.writes) == 4
    assert real.state("child") == before


# --- as nobody --------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_nobody() -> Callable[..., Ended]:
    """Run a command line as a user without any right, in a process of its own."""
    if os.geteuid() != 0:
        give_up("only root can become nobody")
    # Loaded while we may read them: the tree may be in a directory that is closed to others.
    for module in pkgutil.walk_packages(package.__path__, "cputune."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return run_as_nobody


def run_as_nobody(*words: str) -> Ended:
    """Fork, drop all rights, and run."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.dup2(out_end, 1)
            os.dup2(err_end, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            from cputune.cli.main import run

            status = run(list(words))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(out_end)
    os.close(err_end)
    with os.fdopen(out) as stdout, os.fdopen(err) as stderr:
        texts = stdout.read(), stderr.read()
    return Ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *texts)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that nobody may write; pytest's own are closed to others."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


ROOT = "hint: run it as root: sudo cputune ...\n"


def test_set_without_rights_is_5(real: Lab, open_folder: Path, as_nobody: Callable[..., Ended]) -> None:
    directories = ("--state-dir", str(open_folder / "state"), "--config-dir", str(open_folder / "config"))
    ended = as_nobody(*directories, "set", real.name(), "--weight", "200")
    old, new = {1: (1024, 2048), 2: (100, 200)}[real.version]
    error = f"cputune: error: cannot write {new} to {real.file('weight')} (it was {old}): Permission denied\n"
    assert ended == Ended(5, "", error + ROOT)
    assert real.read("weight") == str(old)


def test_set_without_a_right_to_the_state_directory_is_5(
    real: Lab, tmp_path: Path, as_nobody: Callable[..., Ended]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    path = tmp_path / "closed" / "state"
    ended = as_nobody("--state-dir", str(path), "set", real.name(), "--weight", "200")
    assert ended == Ended(5, "", f"cputune: error: cannot lock {path}/locks: Permission denied\n{ROOT}")


def test_schedinfo_works_without_rights(real: Lab, as_nobody: Callable[..., Ended]) -> None:
    real.put(quota=50000)
    text = "Scheduler      : posix\ncpu_shares     : 1024\nvcpu_period    : 100000\nvcpu_quota     : 50000\n\n"
    assert as_nobody("schedinfo", real.name()) == Ended(0, text, "")


def test_status_works_without_rights(real: Lab, as_nobody: Callable[..., Ended]) -> None:
    real.put(quota=50000)
    ended = as_nobody("status", real.name())
    assert (ended.status, ended.err) == (0, "")
    lines = dict(line.split(": ", 1) for line in ended.out.splitlines())
    found = {name.strip(): text for name, text in lines.items()}
    assert (found["state"], found["quota"], found["effective"]) == ("running", "50000", "0.5")


def test_a_dry_run_works_without_rights(real: Lab, as_nobody: Callable[..., Ended]) -> None:
    old, new = {1: (1024, 2048), 2: (100, 200)}[real.version]
    ended = as_nobody("set", real.name(), "--weight", "200", "--dry-run")
    assert ended == Ended(0, f"write {real.file('weight')}: {old} -> {new}\n", "")


def test_run_without_rights_is_5_and_leaves_nothing(
    real: Lab, open_folder: Path, as_nobody: Callable[..., Ended]
) -> None:
    words = ("run", "--name", "nobody", "--", "true")
    ended = as_nobody("--state-dir", str(open_folder / "state"), *words)
    assert ended.status == 5
    assert ended.err.endswith(": Permission denied\nhint: run it as root: sudo cputune run ...\n")
    assert not list((open_folder / "state").rglob("*/nobody"))
