"""The guard as a process, on the real kernel: told by systemd's protocol, killed, flooded, signalled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guard import Guard
from tests.support.lab import Lab
from tests.support.waiting import SECONDS

CGROUPS = 10_000
BATCH = 500


@pytest.fixture
def guard(real: Lab, tmp_path: Path) -> Iterator[Guard]:
    found = Guard(real, tmp_path)
    try:
        yield found
    finally:
        found.end()


def test_killed_and_restarted_in_the_middle_of_fifty_starts_it_misses_none(guard: Guard) -> None:
    for number in range(50):
        guard.save(f"web-{number}")
    guard.start()
    cgroups = []
    for number in range(50):
        cgroups.append(guard.define(f"web-{number}", number))
        guard.lab.make(cgroups[-1])
        if number % 10 == 5:
            guard.kill()
        if number % 10 == 8:
            guard.start()
    guard.until(lambda: all(map(guard.limited, cgroups)))


def test_signals(guard: Guard) -> None:
    process = guard.start("--enforce")
    process.send_signal(signal.SIGHUP)
    guard.await_word("READY=1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    guard.await_word("STOPPING=1")
    process = guard.start()
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    said = guard.errors.read_text().splitlines()
    assert len(said) == 2
    assert all(line.startswith("cputune: ready: 0 configurations in ") for line in said)


def test_the_first_start_waits_for_nothing_to_be_loaded(guard: Guard) -> None:
    guard.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    guard.save("web-%2A")
    guard.start()
    ahead = guard.errors.read_text()
    cgroup = guard.define("web-1", 1)
    guard.lab.make(cgroup)
    guard.until(lambda: "started; applied " in guard.errors.read_text())
    since = guard.errors.read_text()[len(ahead) :].partition("started; applied ")[0]
    assert "import time" in ahead
    assert "import time" not in since
    assert guard.limited(cgroup)


def test_the_watchdog_hears_of_it(guard: Guard) -> None:
    guard.environment["WATCHDOG_USEC"] = "200000"
    guard.start()
    for _ in range(3):
        guard.await_word("WATCHDOG=1")


def test_there_is_one_guard(guard: Guard) -> None:
    first = guard.start()
    words = [sys.executable, "-m", "cputune", "guard"]
    done = subprocess.run(words, env=guard.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stderr.startswith(f"cputune: error: another guard is running: process {first.pid} (")


@pytest.mark.parametrize("stopped", [False, True], ids=["at full speed", "with its queue overflown"])
def test_none_of_ten_thousand_cgroups_is_missed_and_memory_stays_flat(guard: Guard, *, stopped: bool) -> None:
    guard.save("web-%2A")
    process = guard.start()
    kept = [guard.define(f"web-{number}", number) for number in range(CGROUPS // BATCH)]
    for number in range(BATCH):  # as much as it ever has at once
        guard.lab.host.mkdir(guard.lab.directory(f"docker/{number}"))
    guard.until(lambda: process.poll() is None)
    for number in range(BATCH):
        guard.lab.host.rmdir(guard.lab.directory(f"docker/{number}"))
    guard.lab.make("first")
    before = guard.memory()
    if stopped:
        process.send_signal(signal.SIGSTOP)
    for batch, cgroup in enumerate(kept):
        for number in range(BATCH):
            guard.lab.host.mkdir(guard.lab.directory(f"docker/{batch}-{number}"))
        guard.lab.make(cgroup)
        for number in range(BATCH):
            guard.lab.host.rmdir(guard.lab.directory(f"docker/{batch}-{number}"))
    if stopped:
        process.send_signal(signal.SIGCONT)
    guard.until(lambda: all(map(guard.limited, kept)))
    assert ("the kernel dropped events" in guard.errors.read_text()) or not stopped
    assert guard.memory() - before < 8192
