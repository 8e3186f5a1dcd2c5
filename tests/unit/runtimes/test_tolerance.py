"""One domain that is odd is one line, and hides no other."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.foreign import Foreign
from cputune.host.problems import Problems
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from tests.support.commandline import CommandLine
from tests.support.finding import MYDOM, USERS
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"
ERRORS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, RuntimeError, IndexError)


def test_whatever_reading_a_record_causes_the_others_are_listed(
    scratch: Scratch, cgroups: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every file of every runtime: each in its turn causes another kind of error when it is read."""
    read: list[str] = []
    bad: dict[str, type[Exception]] = {}
    reading = Foreign.read

    def noted(self: Foreign, path: str, *rest: Any, **options: Any) -> str:
        read.append(path)
        if path in bad:
            raise bad[path]("odd")
        return reading(self, path, *rest, **options)

    monkeypatch.setattr(Foreign, "read", noted)
    before = [domain.qualified for domain in lookup.domains(cgroups)]
    errors = cycle(ERRORS)
    common = {"/etc/passwd"}  # if that cannot be read, no user is known
    for path in sorted(set(read) - common):
        bad.clear()
        bad[path] = next(errors)
        vars(scratch.host).pop("problems", None)
        found = [domain.qualified for domain in lookup.domains(Cgroups(scratch.host))]
        lost = set(before) - set(found)
        assert len({name.partition(":")[0] for name in lost}) <= 1, (path, lost)  # of one runtime only
        assert not lost or scratch.host.problems.lines(), path
        for row in RUNTIMES.values():  # what only one record tells of, hides no other one
            if MYDOM in path:
                assert len([name for name in lost if name.startswith(f"{row.name}:")]) <= 1, (path, lost)
        if path.startswith(("/home/", "/run/user/")):
            assert not [name for name in lost if ":1000/" not in name], (path, lost)
    assert len(set(read)) > 20


@pytest.mark.parametrize("labels", [5, None, "x", {"a": 1}, [5], [["x"]]])
def test_odd_labels_of_a_users_runc_end_nothing(scratch: Scratch, cputune: CommandLine, labels: object) -> None:
    """Before: a traceback out of `status` and `diff`."""
    state = {"init_process_pid": 1, "init_process_start": 0, "config": {"labels": labels}}
    scratch.file("/run/user/1000/runc/evil/state.json", json.dumps(state))
    for command in ("status", "diff"):
        ended = cputune(scratch.host, command)
        assert (ended.status, "Traceback" in ended.err) == (0, False), ended.err


def test_a_damaged_record_is_one_line(scratch: Scratch, cputune: CommandLine) -> None:
    scratch.file(f"{USERS}/{MYDOM}/config.v2.json", "[]")
    ended = cputune(scratch.host, "status")
    assert ended.status == 0
    assert "docker:mydom" in ended.out
    (line,) = ended.err.splitlines()
    assert line.startswith(f"cputune: docker:1000/{MYDOM[:12]}: ")
    assert line.endswith("is not an object: half-written, or damaged")


def test_of_one_user_only_so_much_is_said() -> None:
    problems = Problems()
    for number in range(1000):
        problems.add(f"docker:1000/{number}", "is odd", 1000)
        problems.add(f"docker:{number}", "is odd")
    lines = problems.lines()
    assert len(lines) == 1000 + 5 + 1
    assert lines[-1] == "user 1000: 995 more that cannot be read"


def test_the_same_is_said_once() -> None:
    problems = Problems()
    problems.add("docker:web", "one")
    problems.add("docker:web", "two")
    assert problems.lines() == ["docker:web: one"]
