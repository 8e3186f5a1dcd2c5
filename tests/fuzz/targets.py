"""What is fuzzed: every parser of text that others than root can write, say or influence. A row each.

A target gets any bytes. It may raise CpuTuneError, and nothing else; below `tolerantly`, an error that no module has
foreseen counts as a finding although it would end nothing.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cputune.app.tuner import Tuner
from cputune.config import bundle, schema
from cputune.core import names
from cputune.core.errors import CpuTuneError
from cputune.core.knobs import KNOBS
from cputune.core.model import Change, Details, Domain
from cputune.guard.hooks import handler
from cputune.host import processes
from cputune.host.cgroup import mounts
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.v1 import V1
from cputune.host.cgroup.v2 import V2
from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.host.systemd import Systemd, Unit, unescape, unit_of
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from cputune.transaction import applied, codec

CORPUS = Path(__file__).parent / "corpus"
ID = "2776f297f7376082ce83d6f6f7dbf99cbc892ae67b295a30c8b878c856dc30a5"
Target = Callable[[bytes], object]


class AllTheSame:
    """Stands for `Foreign`: every file has the same text, and every directory the same names."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, path: str, owner: int = 0, limit: int = 1 << 20, *, stray: bool = False) -> str:
        """The text, whatever the path."""
        del owner, limit, stray
        return "u:x:1000:1000::/home/u:/bin/sh\n" if path == "/etc/passwd" else self.text

    read_or_none = read

    def names(self, path: str, owner: int = 0, *, stray: bool = False) -> list[str]:
        """One of each kind of name that is looked for."""
        del owner, stray
        return ["1000"] if path == "/run/user" else [ID, "overlay-containers", "web", "web.xml", "web.raw"]

    def children(self, path: str, owner: int = 0) -> list[str]:
        """Likewise."""
        del path, owner
        return ["default", ID, "web"]

    def exists(self, path: str, owner: int = 0, *, stray: bool = False) -> bool:
        """Everything is there."""
        del path, owner, stray
        return True

    def is_dir(self, path: str, owner: int = 0) -> bool:
        """Likewise."""
        del path, owner
        return True

    def owner(self, path: str) -> int:
        """What is in /home or /run/user is a user's."""
        return 1000 if path.startswith(("/home/", "/run/user/")) else 0


class Everywhere(Host):
    """A host on which a text is what every file has, what programs print, and what processes are called."""

    def __init__(self, text: str) -> None:
        super().__init__("/nonexistent", "/nonexistent/config", "/nonexistent/state", "/nonexistent/data")
        self.text = text
        self.foreign = AllTheSame(text)  # type: ignore[assignment]

    def read(self, path: str, limit: int = 1 << 26) -> str:
        """The kernel's files are whole, but for what a process says of itself."""
        del limit
        if path.endswith("/cmdline"):
            return self.text
        if path.endswith("/cgroup"):
            return f"0::/system.slice/docker-{ID}.scope\n"
        if path.endswith("/status"):
            return "Uid:\t0\t0\t0\t0\n"
        if path == "/proc/1/mountinfo":
            return "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        return "cpu\n" if path.endswith("cgroup.controllers") else "dockerd\n"

    def lines(self, path: str) -> Iterator[str]:
        """Of /proc/net/unix."""
        del path
        return iter(self.text.split("\n"))

    def names(self, path: str) -> list[str]:
        """A process or two."""
        return ["1", "7"] if path == "/proc" else []

    def children(self, path: str) -> list[str]:
        """No cgroups."""
        del path
        return []

    def is_dir(self, path: str) -> bool:
        """All there."""
        del path
        return True

    def run(self, *_: Any, **__: Any) -> Completed:
        """Programs print the text."""
        return Completed(0, self.text, self.text)


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class Unforeseen(AssertionError):
    """An error that would be told as one of ours."""


def _domains(runtime: str, data: bytes) -> None:
    host = Everywhere(text_of(data))
    for domain in lookup.domains(Cgroups(host), (runtime,)):
        assert isinstance(domain.qualified, str)
    for line in host.problems.lines():
        if "not as expected" in line:
            raise Unforeseen(line)


def _remembered(native: str, data: bytes) -> None:
    runtime = next(row.name for row in RUNTIMES.values() if row.native == native)
    name = "a.service" if native == "units" else "web"
    details = Details(records="/r", lxcpath="/var/lib/lxc")
    domain = Domain(runtime, name, running=True, persistent=True, details=details)
    module = importlib.import_module(f"cputune.runtimes.native.{native}")
    module.read(Cgroups(Everywhere(text_of(data))), domain)


def _bus(data: bytes) -> None:
    systemd, unit = Systemd(Everywhere(text_of(data))), Unit("a.service")
    found = systemd.get(unit, ["CPUWeight", "CPUShares"])
    assert all(isinstance(value, int) and value >= 0 for value in found.values())
    assert systemd.grain(unit) in (100, 10_000)


def _names(data: bytes) -> None:
    text = text_of(data)
    assert names.printable(text).isprintable()
    names.check(text)
    assert "/" not in names.file_name(text)
    lookup.split(text)
    unit_of(text)
    unescape(text)


def _knobs(data: bytes) -> None:
    for knob in KNOBS:
        value = knob.kind.read(text_of(data))
        assert value is None or isinstance(knob.format(value), str)


def _kernel(data: bytes) -> None:
    text = text_of(data)
    mounts.parse_proc_cgroup(text, 1)
    mounts.parse_proc_cgroup(text, 2)
    for backend in (V1, V2):
        found = backend.parse_stats(text, text)
        assert all(value is None or isinstance(value, int) for value in found)
    processes._uids(text)


def _record(data: bytes) -> None:
    applied._parse(text_of(data))


def _yaml(data: bytes) -> None:
    saved = schema.parse("/f", text_of(data))
    assert schema.edited(saved, "lxc:web", Change(quota=5000))


def _bundle(data: bytes) -> None:
    bundle._wanted_of_many("/f", text_of(data))


def _task(data: bytes) -> None:
    try:
        found = json.loads(text_of(data))
    except (ValueError, RecursionError):
        return
    for name in ("cgroup", "config", "native"):
        try:
            codec.load(name, found)
        except codec.Undecodable:
            continue


def _hook(data: bytes) -> None:
    tuner = Tuner(Everywhere("0::/x\n"))
    for runtime in ("podman", "runc", "crun"):
        with suppress(CpuTuneError):
            handler._oci_subject(tuner, runtime, text_of(data))


class Row(NamedTuple):
    """A target."""

    name: str
    run: Target


_RUNTIMES = [name for name, row in RUNTIMES.items() if row.bare]
_NATIVE = sorted({row.native for row in RUNTIMES.values() if row.native})

ROWS = (
    *(Row(f"domains-{name}", partial(_domains, name)) for name in _RUNTIMES),
    *(Row(f"remembered-{name}", partial(_remembered, name)) for name in _NATIVE),
    Row("bus", _bus),
    Row("names", _names),
    Row("knobs", _knobs),
    Row("kernel", _kernel),
    Row("record", _record),
    Row("yaml", _yaml),
    Row("bundle", _bundle),
    Row("task", _task),
    Row("hook", _hook),
)


def findings(target: Target, data: bytes) -> str | None:
    """Run a target; what is wrong, or None."""
    try:
        target(data)
    except CpuTuneError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
