"""Which systemd unit a cgroup belongs to, and the change of its properties over D-Bus, with `busctl`.

systemd owns the cgroups of its units (CGROUP_DELEGATION.md): it overwrites a value that it was not told of the next
time that it realizes the unit. So systemd is told first, and then the file gets the exact value. Property names and
types: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError, NoPermission, NoSuchDomain, Refused, WrongState
from cputune.core.knobs import KNOB, KNOBS, QUOTA_AND_PERIOD, WEIGHT
from cputune.core.model import CpuTune
from cputune.core.units import parse_integer
from cputune.host.system import Host

if TYPE_CHECKING:
    from cputune.host.programs import Completed

INFINITY = (1 << 64) - 1
_SUFFIXES = ("service", "scope", "slice", "socket", "mount", "swap")
_SECONDS, _SECONDS_OF_A_USER = 30.0, 5.0
"""How long to wait for the answer of the system manager, and of a user's manager."""
_SECONDS_OF_SILENCE = 60.0
"""For how long a user's manager that did not answer is not asked again: of a thousand units, one has to wait."""
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
# Compiled when they are needed: few changes are of units.
_NOT_LABEL = rb"[^A-Za-z0-9]|^[0-9]"
_UNIT_CHAR = rb"[A-Za-z0-9:_.@-]"
_QUOTA, _PERIOD, _WEIGHT, _SHARES = (KNOB[key].systemd for key in ("quota", "period", "weight", "shares"))
_DEFAULTS = {knob.systemd: knob.default for knob in KNOBS if knob.systemd and isinstance(knob.default, int)}
"""What systemd uses for a property that is not set."""

Properties = dict[str, int]
"""Properties of a unit by name: microseconds per second, microseconds, weights; INFINITY = not set."""


class Unit(NamedTuple):
    """A unit of the system manager, or of the manager of user `uid`."""

    name: str
    uid: int | None = None

    @property
    def label(self) -> str:
        """The unit's name as a domain of the runtime `systemd`: NAME or UID/NAME."""
        return self.name if self.uid is None else f"{self.uid}/{self.name}"


def is_unit_name(name: str) -> bool:
    """Return whether `name` has the suffix of a unit that has a cgroup."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and suffix in _SUFFIXES


def escape(name: str) -> str:
    r"""Return a name as part of a unit's name: other bytes than letters, digits and :_.-@ as \xNN (systemd.unit(5))."""
    data = name.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if re.fullmatch(_UNIT_CHAR, bytes([byte])) else f"\\x{byte:02x}" for byte in data)


def unescape(text: str) -> str:
    r"""Return the name that was escaped: each \xNN becomes a byte; other text is kept."""
    data = re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)
    return data.encode("latin-1", "replace").decode("utf-8", "surrogateescape") if data != text else text


def unit_of(cgroup: str) -> Unit | None:
    """Return the unit whose own cgroup this is, from the path alone; None below a unit, or outside systemd's tree.

    Slices nest by their names (a-b.slice is in a.slice), then comes one unit; what is below it is delegated,
    unless it is user@UID.service, where another manager begins anew.
    """
    parts = [part.removeprefix("_") for part in cgroup.strip("/").split("/")]
    uid = None
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if not is_unit_name(part):
            return None
        if last:
            return Unit(part, uid)
        if part.endswith(".slice"):
            continue
        user = re.fullmatch(r"user@([0-9]+)\.service", part)
        if not user or uid is not None:
            return None
        uid = int(user[1])
    return None


def wanted(version: int, goal: CpuTune, keys: frozenset[str]) -> Properties:
    """Return the properties that say `goal`, for the knobs in `keys`; quota and period always together. Pure.

    v1's shares go as CPUShares, which is exact; as CPUWeight they would be rounded to hundredths of 1024. On v2 idle is
    a weight of 0; on v1 it has no property, and burst has none anywhere.
    """
    found: Properties = {}
    if keys & QUOTA_AND_PERIOD and goal.period:
        per_second = -(-goal.quota * 1_000_000 // goal.period) if isinstance(goal.quota, int) else INFINITY
        found |= {_QUOTA: per_second, _PERIOD: goal.period}
    if keys.isdisjoint(WEIGHT):
        return found
    if version == 2 and goal.weight is not None:
        found[_WEIGHT] = 0 if goal.idle else goal.weight
    if version == 1 and goal.shares is not None and not goal.idle:
        found |= {_WEIGHT: INFINITY, _SHARES: goal.shares}
    return found


def differs(held: Properties, properties: Properties) -> bool:
    """Return whether systemd holds other values than `properties`; one that is not set counts as its default."""
    return any(
        held.get(name) != value and not (held.get(name) == INFINITY and _DEFAULTS.get(name) == value)
        for name, value in properties.items()
    )


def word(value: int | None) -> str:
    """Return a property's value as `systemctl show` prints it."""
    return "infinity" if value in (None, INFINITY) else str(value)


def enables(unit: Unit, version: int) -> bool:
    """Return whether the unit's manager enables the cpu controller for it when it gets a CPU property.

    On v1 controllers are not delegated to users' managers (systemd's CGROUP_DELEGATION.md).
    """
    return version == 2 or unit.uid is None


def kept(quota: int, period: int, grain: int) -> int:
    """Return the quota (microseconds) that systemd has after it reads its drop-in for this one again. Pure."""
    per_second = -(-quota * 1_000_000 // period)
    return per_second // grain * grain * period // 1_000_000


def rounding(goal: CpuTune, grain: int) -> tuple[int, int] | None:
    """Return the nearest quotas below and above that a reload of systemd keeps exactly; None if it keeps this one."""
    if not isinstance(goal.quota, int) or not goal.period or kept(goal.quota, goal.period, grain) == goal.quota:
        return None
    quota, period = goal.quota, goal.period
    stable = (number for number in range(quota - 1, 0, -1) if kept(number, period, grain) == number)
    larger = (number for number in count(quota + 1) if kept(number, period, grain) == number)
    return next(stable, 0), next(larger)


def object_path(unit: str) -> str:
    """Return the D-Bus object of a unit: bytes outside [A-Za-z0-9] and a leading digit as _xx."""
    escaped = re.sub(_NOT_LABEL, lambda match: b"_%02x" % match[0][0], unit.encode("utf-8", "surrogateescape"))
    return f"/org/freedesktop/systemd1/unit/{escaped.decode()}"


class Unreachable(Refused):
    """systemd runs, but it cannot be reached over D-Bus."""


class Systemd:
    """The system manager and the users' managers of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._silent_until: dict[int, float] = {}
        """Users whose bus did not answer in time, and until when they are not asked again."""

    def booted(self) -> bool:
        """Return whether systemd is PID 1: sd_booted(3)."""
        return self.host.is_dir("/run/systemd/system")

    def get(self, unit: Unit, names: Iterable[str], cgroup: str | None = None) -> Properties:
        """Return what systemd holds for the unit; nothing if `cgroup` is given and is not the unit's.

        Raises NoSuchDomain for a unit it does not know, Unreachable.
        """
        names = list(names)
        kind = unit.name.rpartition(".")[2].capitalize()
        path, interface = object_path(unit.name), f"org.freedesktop.systemd1.{kind}"
        done = self._busctl(
            unit, "get-property", _MANAGER[0], path, interface, *names, *(["ControlGroup"] if cgroup else [])
        )
        # busctl escapes strings as C does.
        if cgroup and f's "{cgroup}"' not in done.stdout.replace("\\\\", "\\").splitlines():
            return {}
        lines = [line for line in done.stdout.splitlines() if line.startswith("t ")]
        values = [value for line in lines if (value := parse_integer(line.removeprefix("t "))) is not None]
        if min(values, default=0) < 0 or len(values) != len(names) or len(lines) != len(names):
            raise Refused(f"{_manager(unit)} answered something else than the properties of {unit.name}")
        return dict(zip(names, values, strict=True))

    def grain(self, unit: Unit) -> int:
        """Return to what systemd truncates a quota in its drop-in, in microseconds per second.

        Whole percents; hundredths of a percent since systemd 257 (its pull request 33171). Raises as `get`.
        """
        said = self._busctl(unit, "get-property", *_MANAGER, "Version").stdout
        version = re.search(r"[0-9]+", said)
        return 100 if version and int(version[0]) >= 257 else 10_000

    def set(self, unit: Unit, properties: Properties) -> None:
        """Set runtime properties of a unit, and wait until systemd has written them to the kernel.

        Raises Refused, NoPermission, Unreachable, NoSuchDomain.
        """
        self._run(unit, *self.set_command(unit, properties, runtime=True))
        # The reply comes before the cgroup is written; a second call is served after it (manager_loop() in
        # systemd's src/core/manager.c), so that our exact value is written last.
        self.get(unit, properties)

    def set_command(self, unit: Unit, properties: Properties, *, runtime: bool) -> tuple[tuple[str, ...], int | None]:
        """Return the command, and the user id to run it as, that sets properties: until the next boot, or for good."""
        arguments = [word for name, value in properties.items() for word in (name, "t", str(value))]
        how = (unit.name, str(runtime).lower(), str(len(properties)))
        return self._command(unit, "call", *_MANAGER, "SetUnitProperties", "sba(sv)", *how, *arguments)

    def reload_command(self, unit: Unit) -> tuple[tuple[str, ...], int | None]:
        """Return the command, and the user id to run it as, with which the unit's manager reads its files again."""
        return self._command(unit, "call", *_MANAGER, "Reload")

    def start_scope(self, unit: Unit, pids: list[int], properties: Properties, description: str) -> None:
        """Start a transient scope with processes in it, and wait until they are there. Raises as `set`."""
        # CPUAccounting: on v1 the scope would have no cgroup of its own in the cpu hierarchy without it.
        texts = [
            "Description",
            "s",
            description,
            "CollectMode",
            "s",
            "inactive-or-failed",
            "CPUAccounting",
            "b",
            "true",
        ]
        numbers = [word for name, value in properties.items() for word in (name, "t", str(value))]
        processes = ["PIDs", "au", str(len(pids)), *map(str, pids)]
        count = len(texts) // 3 + len(properties) + 1
        self._busctl(
            unit, "call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit.name, "fail",
            str(count), *texts, *numbers, *processes, "0",
        )  # fmt: skip

    def _command(self, unit: Unit, *arguments: str) -> tuple[tuple[str, ...], int | None]:
        # A user's bus accepts only the user's own processes, not even root's.
        other = unit.uid if unit.uid not in (None, os.geteuid()) else None
        return ("busctl", "--no-pager", *self._address(unit), *arguments), other

    def _busctl(self, unit: Unit, *arguments: str) -> Completed:
        return self._run(unit, *self._command(unit, *arguments))

    def _run(self, unit: Unit, argv: tuple[str, ...], other: int | None) -> Completed:
        if other is not None and time.monotonic() < self._silent_until.get(other, 0.0):
            raise Unreachable(f"cannot tell systemd of {unit.name}: the bus of user {other} did not answer before")
        try:
            # A user controls the bus, so it may never answer.
            done = self.host.run(list(argv), user=other, timeout=_SECONDS if other is None else _SECONDS_OF_A_USER)
        except PermissionError as error:
            raise NoPermission(
                f"cannot tell the manager of user {other} of {unit.name}: {error.strerror or error}",
                "that takes CAP_SETUID, CAP_SETGID and CAP_DAC_OVERRIDE: man cputune, RIGHTS",
            ) from error
        except OSError as error:
            if other is not None and isinstance(error, TimeoutError):
                self._silent_until[other] = time.monotonic() + _SECONDS_OF_SILENCE
            message = f"cannot tell systemd of {unit.name}: {error.strerror or error}"
            raise Unreachable(message, "apt-get install dbus systemd") from error
        if done.status == 0:
            return done
        raise _explain(unit, "; ".join(done.stderr.strip().removeprefix("Call failed: ").splitlines()))

    def _address(self, unit: Unit) -> list[str]:
        if unit.uid is not None:
            return ["--user"]
        return [f"--address=unix:path={self.host.real('/run/dbus/system_bus_socket')}"] if self.host.root else []


def _manager(unit: Unit) -> str:
    return "systemd" if unit.uid is None else f"the bus of user {unit.uid}"


def _explain(unit: Unit, said: str) -> CpuTuneError:
    message = f"systemd refused to change {unit.name}: {said}"
    if re.search(r"connect to .*bus|set up bus|Transport endpoint is not connected", said):
        mend = "systemctl start dbus.socket" if unit.uid is None else "apt-get install dbus-user-session"
        return Unreachable(f"cannot tell systemd of {unit.name}: {said}", mend)
    if "ccess denied" in said or "authentication required" in said or "Permission denied" in said:
        return NoPermission(
            message, "run it as root: sudo cputune ...; or let polkit allow org.freedesktop.systemd1.manage-units"
        )
    if "was already loaded" in said:
        return WrongState(f"{unit.name} is there already", "give another name: cputune run --name ...")
    if "not found" in said or "not loaded" in said or "Unknown object" in said:
        return NoSuchDomain(message, "systemctl list-units --all")
    return Refused(message, f"journalctl -u {unit.name} -n 20")
