"""Writing one cgroup's files until the kernel has what is wanted, and reading back."""

from __future__ import annotations

from collections.abc import Sequence

from cputune.core.errors import Refused, from_os_error
from cputune.core.model import CpuTune, Write
from cputune.core.units import quota_text
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.plan import same, writes

_ROUNDS = 3


def settle(cgroups: Cgroups, cgroup: str, goal: CpuTune, first: Sequence[Write] = ()) -> None:
    """Write until the kernel has `goal`, and read back; more than once, since a write may change another knob.

    `first` are the writes that lead there, where they have just been planned.

    On v2 before Linux 6.10 writing cpu.max divides cpu.max.burst by 1000 (mended by kernel commit 49217ea147df);
    systemd may write its own rounded value in between. Raises CpuTuneError.
    """
    try:
        _write(cgroups, first)
    except Refused:
        # Where the groups above or below have changed since then, planning it says so.
        writes(cgroups.backend, cgroups.directory(cgroup), cgroups.read_if_used(cgroup), goal, cgroups.bounds(cgroup))
        raise
    for _ in range(_ROUNDS):
        now = cgroups.read_if_used(cgroup)
        if same(cgroups.backend, now, goal):
            return
        _write(cgroups, writes(cgroups.backend, cgroups.directory(cgroup), now, goal, cgroups.bounds(cgroup)))
    now = cgroups.read_if_used(cgroup)
    if not same(cgroups.backend, now, goal):
        raise Refused(
            f"the kernel took the write but not the value: {'; '.join(differences(cgroups, cgroup, now, goal))}"
        )


def _write(cgroups: Cgroups, planned: Sequence[Write]) -> None:
    for write in planned:
        try:
            cgroups.host.write(write.path, write.value)
        except OSError as error:
            action = f"write {write.value} to {cgroups.host.real(write.path)} (it was {write.before})"
            raise from_os_error(error, action) from error


def differences(cgroups: Cgroups, cgroup: str, now: CpuTune, wanted: CpuTune) -> list[str]:
    """What is not as it should be, a line each."""
    directory = cgroups.host.real(cgroups.directory(cgroup))
    return [
        f"{directory}: {key} is {value_text(now[key])}, not {value_text(wanted[key])}" for key in now.differing(wanted)
    ]


def value_text(value: object) -> str:
    """A knob's value in a message."""
    return quota_text(value) if not isinstance(value, bool) and value is not None else str(value).lower()  # type: ignore[arg-type]
