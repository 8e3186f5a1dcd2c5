"""Writing one cgroup's files until the kernel has what is wanted, and reading back."""

from __future__ import annotations

from collections.abc import Sequence

from cputune.cgroup import Cgroups
from cputune.cgroup.plan import same, writes
from cputune.errors import Refused, from_os_error
from cputune.model import CpuTune, Write
from cputune.units import quota_text

_ROUNDS = 3


def settle(site: Cgroups, cgroup: str, goal: CpuTune, first: Sequence[Write] = ()) -> None:
    """Write until the kernel has `goal`, and read back; more than once, since a write may change another knob.

    `first` are the writes that lead there, where they have just been planned.

    On v2 before Linux 6.10 writing cpu.max divides cpu.max.burst by 1000 (mended by kernel commit 49217ea147df);
    systemd may write its own rounded value in between. Raises CpuTuneError.
    """
    try:
        _write(site, first)
    except Refused:
        # Where the groups above or below have changed since then, planning it says so.
        writes(site.backend, site.directory(cgroup), site.read_if_used(cgroup), goal, site.bounds(cgroup))
        raise
    for _ in range(_ROUNDS):
        now = site.read_if_used(cgroup)
        if same(site.backend, now, goal):
            return
        _write(site, writes(site.backend, site.directory(cgroup), now, goal, site.bounds(cgroup)))
    now = site.read_if_used(cgroup)
    if not same(site.backend, now, goal):
        raise Refused(f"the kernel took the write but not the value: {'; '.join(differences(site, cgroup, now, goal))}")


def _write(site: Cgroups, planned: Sequence[Write]) -> None:
    for write in planned:
        try:
            site.host.write(write.path, write.value)
        except OSError as error:
            action = f"write {write.value} to {site.host.real(write.path)} (it was {write.before})"
            raise from_os_error(error, action) from error


def differences(site: Cgroups, cgroup: str, now: CpuTune, wanted: CpuTune) -> list[str]:
    """What is not as it should be, a line each."""
    directory = site.host.real(site.directory(cgroup))
    return [
        f"{directory}: {key} is {value_text(now_value)}, not {value_text(wanted_value)}"
        for key, now_value, wanted_value in zip(CpuTune._fields, now, wanted, strict=True)
        if now_value != wanted_value
    ]


def value_text(value: object) -> str:
    """A knob's value in a message."""
    return quota_text(value) if not isinstance(value, bool) and value is not None else str(value).lower()  # type: ignore[arg-type]
