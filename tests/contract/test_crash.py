"""Whatever goes wrong at whatever system call, and wherever it is killed: the state before, or the state after.

Of a transaction over two domains, live and config, on the fakes; over two cgroups, one inside the other, on the real
kernel. After each fault the next cputune runs, and what it finds is compared with the one and the other, all of it.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import crash
from tests.support.commandline import CommandLine
from tests.support.containers import snapshot, two_containers
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab

SET = (
    *("set", "lxc:web", "lxc:db", "--live", "--config"),
    *("--weight", "200", "--no-idle", "--quota", "5000", "--period", "10000", "--burst", "1000"),
)
SAVED = "version: 1\n# do not touch\nquota: 50000  # half a CPU\n"

Files = dict[str, str]


def state(host: FakeKernel) -> Files:
    """All files of a host but the history."""
    return {path: text for path, text in snapshot(host).items() if not path.endswith("/history")}


class Case:
    """A command on a host, and the states before and after it; the host is made anew for each attempt."""

    def __init__(self, folder: Path, kernel: str, words: tuple[str, ...], run: CommandLine) -> None:
        self.folder, self.kernel, self.words, self.run = folder, kernel, words, run
        self.number = 0
        host = self.fresh()
        self.before = state(host)
        ended = run(host, *words)
        assert (ended.status, ended.err) == (0, "")
        self.after = self.comparable(host)

    def fresh(self) -> FakeKernel:
        self.number += 1
        return two_containers(self.folder / str(self.number), FAKES[self.kernel], SAVED)

    def comparable(self, host: FakeKernel) -> Files:
        """The state without what differs between hosts: the numbers of cgroups in the records, and the checksums."""
        return {
            path: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("inode ", "crc32 ")))
            for path, text in state(host).items()
        }

    def attempts(self, action: crash.Action, *, on: bool = False) -> Iterator[tuple[FakeKernel, crash.Outcome, str]]:
        """One attempt at each call, on a fresh host; and where it was."""
        for number in range(1, 10000):
            host = self.fresh()
            outcome = crash.attempt(host, self.words, number, action, on=on)
            if not outcome.reached:
                assert number > 20
                return
            assert "Traceback" not in outcome.said, outcome.said
            assert "unexpected" not in outcome.said, outcome.said
            yield host, outcome, f"at call {number}: {outcome}"
            shutil.rmtree(host.root)

    def check(self, host: FakeKernel, *, done: bool | None, where: str) -> bool:
        """That the host has the state before or after (or the one that is `done`); whether it is the one after."""
        found = self.comparable(host)
        is_after = found == self.after
        assert is_after or found == self.before, where
        if done is not None:
            assert is_after == done, where
        return is_after


@pytest.fixture(params=["fake-v1", "fake-v2"])
def case(request: pytest.FixtureRequest, tmp_path: Path, cputune: CommandLine) -> Case:
    return Case(tmp_path, request.param, SET, cputune)


def test_killed_at_any_call_it_is_the_state_before_or_after(case: Case) -> None:
    afterwards = []
    for host, outcome, where in case.attempts(crash.kill):
        assert outcome.status == -signal.SIGKILL, where
        ended = case.run(host, "recover")
        assert (ended.status, ended.out) == (0, ""), where
        afterwards.append(case.check(host, done=None, where=where))
    assert afterwards == sorted(afterwards)  # from some call on it has happened, and never before
    assert set(afterwards) == {False, True}


@pytest.mark.parametrize(
    "query", [("status",), ("schedinfo", "lxc:web"), ("set", "lxc:db", "--quota", "9000", "--live")]
)
def test_whichever_command_comes_next_goes_back(case: Case, query: tuple[str, ...]) -> None:
    host = case.fresh()
    killed = crash.attempt(host, case.words, 20, crash.kill)
    assert killed.status == -signal.SIGKILL
    assert state(host) != case.before
    ended = case.run(host, *query)
    assert ended.status == 0
    assert ended.err.startswith("cputune: lxc:web, lxc:db: put back what process ")
    assert "(cputune set lxc:web lxc:db --live --config " in ended.err
    assert not [path for path in state(host) if "/journal/" in path]
    if query[0] != "set":
        case.check(host, done=False, where=str(query))


def test_what_fails_once_at_any_call_leaves_the_state_before_or_after(case: Case) -> None:
    for number in crash.ERRORS:
        for host, outcome, where in case.attempts(crash.fail(number)):
            assert outcome.status in (0, 4, 5, 6, 7), where
            case.check(host, done=outcome.status == 0, where=f"{errno.errorcode[number]} {where}")


def test_what_fails_from_any_call_on_says_what_is_left_and_is_put_back_later(case: Case) -> None:
    eights = 0
    for host, outcome, where in case.attempts(crash.fail(errno.EIO), on=True):
        assert outcome.status in (0, 7, 8), where
        if outcome.status == 8:
            eights += 1
            assert "not everything could be put back: " in outcome.said, where
        ended = case.run(host, "recover")
        assert ended.status == 0, where
        case.check(host, done=outcome.status == 0, where=where)
    assert eights > 3


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_at_any_call_leaves_the_state_before_or_after(case: Case, signum: int, status: int) -> None:
    for host, outcome, where in case.attempts(crash.press(signum)):
        assert outcome.status in (status, 0), where
        case.check(host, done=outcome.status == 0, where=where)


def fail_and_die(later: int) -> crash.Action:
    """The first call fails, and that many calls later it is killed."""
    calls = itertools.count()

    def action() -> None:
        turn = next(calls)
        if turn == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if turn == later:
            crash.kill()

    return action


def test_killed_while_it_puts_back_the_next_one_puts_back(case: Case) -> None:
    """A signal has it go back, and it is killed on the way."""
    for first in (15, 25):
        for number in range(first, first + 12):
            host = case.fresh()

            outcome = crash.attempt(host, case.words, first, fail_and_die(number - first + 1), on=True)
            assert outcome.reached
            assert case.run(host, "recover").status == 0
            case.check(host, done=None if outcome.status == 0 else False, where=str(outcome))


def test_killed_while_it_recovers_the_next_one_recovers(case: Case) -> None:
    recovering = 0
    for number in range(1, 1000):
        host = case.fresh()
        crash.attempt(host, case.words, 24, crash.kill)
        outcome = crash.attempt(host, ("recover",), number, crash.kill)
        ended = case.run(host, "recover")
        assert ended.status == 0
        case.check(host, done=False, where=str(outcome))
        if not outcome.reached:
            break
        recovering += 1
    assert recovering > 5


def test_a_page_that_a_killed_one_was_writing_was_never_begun(case: Case) -> None:
    host = case.fresh()
    host.put_file("/var/lib/cputune/journal/.01795572235706755657-9999999.9999999", '{"version": 1, "entry": {"id": "0')
    assert case.run(host, "recover").err == "cputune: nothing to put back\n"
    assert case.run(host, *case.words).status == 0
    killed = crash.attempt(host, ("undo",), 15, crash.kill)
    assert killed.status == -signal.SIGKILL
    assert case.run(host, "recover").status == 0
    case.check(host, done=True, where="")


@pytest.mark.parametrize("discard", [False, True])
def test_a_damaged_page_is_named_once_and_moved_aside(case: Case, discard: bool) -> None:
    """Nobody knows what that change had done: it is no success, but stops nothing else."""
    host = case.fresh()
    assert crash.attempt(host, case.words, 20, crash.kill).status == -signal.SIGKILL
    (page,) = Path(host.data_dir, "journal").iterdir()
    page.write_bytes(page.read_bytes()[:-3])
    damaged, before = page.read_bytes(), state(host)
    ended = case.run(host, "recover", *(["--discard"] if discard else []))
    (aside,) = Path(host.data_dir, "damaged").iterdir()
    assert aside.read_bytes() == damaged
    assert aside.name.startswith(f"{page.name}.")
    said = f"{page} is damaged and not used: it is now {aside}; not everything could be put back: "
    said += "what this change had begun is not known\n"
    if discard:
        assert ended == (0, "", f"cputune: {said}")
    else:
        assert ended == (8, "", f"cputune: error: {said}hint: cputune diff\n")
    name = os.path.relpath(aside, host.root)
    assert state(host) == {
        path: text for path, text in before.items() if path != f"/{os.path.relpath(page, host.root)}"
    } | {f"/{name}": damaged.decode()}
    assert case.run(host, "recover") == (0, "", "cputune: nothing to put back\n")
    assert case.run(host, *case.words).status == 0
    assert aside.read_bytes() == damaged


@pytest.mark.parametrize("name", ["lxc:web", "lxc:db"])
def test_a_damaged_page_stops_no_change(case: Case, name: str) -> None:
    host = case.fresh()
    assert crash.attempt(host, case.words, 20, crash.kill).status == -signal.SIGKILL
    (page,) = Path(host.data_dir, "journal").iterdir()
    page.write_bytes(page.read_bytes().replace(b"lxc:web", b"lxc:wfb"))
    ended = case.run(host, "set", name, "--quota", "9000", "--live")
    assert ended.status == 0
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"cputune: {page} is damaged and not used: it is now ")
    assert case.run(host, "set", name, "--quota", "9500", "--live").err == ""


def test_a_damaged_page_that_cannot_be_moved_aside_keeps_others_off(case: Case) -> None:
    host = case.fresh()
    assert crash.attempt(host, case.words, 20, crash.kill).status == -signal.SIGKILL
    (page,) = Path(host.data_dir, "journal").iterdir()
    page.write_bytes(b"x")
    Path(host.data_dir, "damaged").write_text("no directory")
    for words in (("recover",), case.words):
        ended = case.run(host, *words)
        assert ended.status == 7
        assert ended.err.startswith(f"cputune: error: cannot move {page} aside, which is damaged: Not a directory\n")
    assert page.read_bytes() == b"x"


# --- the real kernel --------------------------------------------------------------------------------------------------


def lines(lab: Lab) -> dict[str, str]:
    """What the kernel has in both groups, and cputune's records and journal."""
    kernel = {
        f"{name}/{file}": lab.host.read_or_none(f"{lab.directory(name)}/{file}") or "gone"
        for name in ("", "child")
        for file in {os.path.basename(lab.file(knob)) for knob in ("weight", "quota", "period", "burst")}
    }
    own = (path for path in Path(lab.host.state_dir).rglob("*") if path.is_file() and path.name != "locks")
    return kernel | {str(path): path.read_text() for path in own}


@pytest.fixture
def family(lab: Lab) -> Lab:
    lab.make("child")
    lab.put("", quota=50000, weight=200)
    lab.put("child", quota=20000, burst=4000)
    return lab


def words_of(lab: Lab) -> tuple[str, ...]:
    knobs = ("--quota", "5000", "--period", "10000", "--weight", "300", "--burst", "0")
    return ("set", lab.name(), lab.name("child"), *knobs, "--live")


def test_killed_at_any_call_the_kernel_has_the_state_before_or_after(family: Lab, cputune: CommandLine) -> None:
    """The last call is the one that removes the journal: behind it, it has happened."""
    before = lines(family)
    number = 0
    for number, outcome in crash.each_call(family.host, words_of(family), crash.kill):
        assert outcome.status == -signal.SIGKILL
        assert cputune(family.host, "recover").status == 0
        assert lines(family) == before, number
    assert number > 15
    assert (family.state().quota, family.state("child").quota) == (5000, 5000)


def test_what_fails_at_any_call_leaves_the_kernel_with_the_state_before(family: Lab, cputune: CommandLine) -> None:
    before = lines(family)
    for number, outcome in crash.each_call(family.host, words_of(family), crash.fail(errno.EIO)):
        if outcome.status == 0:  # the history, which stops no change; or the making of a folder that was there
            assert (family.state().quota, family.state("child").quota) == (5000, 5000), (number, outcome)
            restore(family)
        else:
            assert outcome.status == 7, (number, outcome)
        assert {path: text for path, text in lines(family).items() if "applied" not in path} == before, number


def restore(lab: Lab) -> None:
    weights: dict[str, Any] = {lab.weight_key: 200}
    lab.set("", quota=50000, period=100000, burst=0, **weights)
    weights = {lab.weight_key: 1024 if lab.version == 1 else 100}
    lab.set("child", quota=20000, period=100000, burst=4000, **weights)


@pytest.mark.parametrize("gone", ["child", ""])
def test_a_cgroup_that_goes_away_at_any_call(lab: Lab, gone: str, cputune: CommandLine) -> None:
    """The other one has the state before, or the one after where all was done; no journal stays."""
    for number in range(1, 1000):
        for name in ("child", ""):
            if lab.host.is_dir(lab.directory(name)):
                lab.remove(name)
        lab.make("")
        lab.make("child")
        lab.put("", quota=50000)
        lab.put("child", quota=20000)
        vanished = lambda: lab.remove(gone) if lab.host.is_dir(lab.directory(gone)) else None  # noqa: E731
        outcome = crash.attempt(lab.host, words_of(lab), number, vanished)
        if not outcome.reached:
            break
        assert "Traceback" not in outcome.said, outcome.said
        assert outcome.status in (0, 6, 7), (number, outcome)  # 7: v1's kernel still counts what is just gone
        journal = list(Path(lab.host.state_dir, "journal").iterdir()) if number > 3 else []
        assert journal == [], (number, outcome)
        if gone == "child":
            assert lab.state().quota == (5000 if outcome.status == 0 else 50000), (number, outcome)
    assert number > 10
