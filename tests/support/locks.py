"""Locks in a state directory of the test's own, and another process that holds some."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from cputune.host.system import Host
from cputune.transaction.locks import Busy, Keys, Locks

HOLDER = """
import sys
import time
from cputune.host.system import Host
from cputune.transaction.locks import Keys, Locks
exclusive, shared = (frozenset(filter(None, words.split(","))) for words in sys.argv[2:4])
with Locks(Host(state_dir=sys.argv[1])).hold(Keys(exclusive, shared)):
    print("held", flush=True)
    sys.stdin.read()
"""


def locks(folder: Path) -> Locks:
    return Locks(Host("/", "/nowhere", str(folder / "state"), "/nowhere"))


def keys(exclusive: str = "", shared: str = "") -> Keys:
    return Keys(frozenset(exclusive.split()), frozenset(shared.split()))


def held(folder: Path, exclusive: str = "", shared: str = "") -> AbstractContextManager[subprocess.Popen[str]]:
    """Another process that holds locks in a state directory of `locks`."""
    return held_in(str(folder / "state"), exclusive, shared)


@contextmanager
def held_in(state_dir: str, exclusive: str = "", shared: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds locks, until the end."""
    command = [sys.executable, "-c", HOLDER, state_dir, exclusive, shared]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.communicate("")


def free(folder: Path, exclusive: str = "", shared: str = "") -> bool:
    try:
        with locks(folder).hold(keys(exclusive, shared), seconds=0):
            return True
    except Busy:
        return False


def waiting() -> set[int]:
    """The processes that wait for a lock of any file: proc(5), /proc/locks."""
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return {int(words[5]) for words in lines if words[1] == "->"}
