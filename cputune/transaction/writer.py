"""Writing the files of one cgroup until the kernel has what is wanted, and reading back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cputune.core.errors import Refused, from_os_error
from cputune.core.knobs import KNOB
from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.plan import same, writes

_ROUNDS = 3


def write_all(cgroups: Cgroups, planned: Iterable[Write]) -> None:
    """Write these values in order. Raises CpuTuneError at the first one that the kernel refuses."""
    for write in planned:
        try:
            cgroups.host.write(write.path, write.value)
        except OSError as error:
            action = f"write {write.value} to {cgroups.host.real(write.path)} (it was {write.before})"
            raise from_os_error(error, action) from error


def reach(cgroups: Cgroups, cgroup: str, goal: CpuTune, planned: Iterable[Write], say: Callable[[str], None]) -> None:
    """Carry out the planned writes, which lead to `goal`, and read back.

    Where the kernel has something else then (another process was faster, or a systemd wrote other values than
    planned), it is written again, and that is said. Raises CpuTuneError where the goal is not reached.
    """
    try:
        write_all(cgroups, planned)
    except Refused:
        # Where the limit of a group above or below has changed since, a new plan names it.
        writes(cgroups.backend, cgroups.directory(cgroup), cgroups.read_if_used(cgroup), goal, cgroups.bounds(cgroup))
        raise
    for write in settle(cgroups, cgroup, goal):
        path = cgroups.host.real(write.path)
        say(f"{path} had {write.before} after the planned writes, so {write.value} was written as well")


def settle(cgroups: Cgroups, cgroup: str, goal: CpuTune) -> list[Write]:
    """Write until the kernel has `goal`, several times if need be, since a write may change another knob.

    Returns the writes that it took. Raises CpuTuneError where the goal is not reached.
    """
    done: list[Write] = []
    for _ in range(_ROUNDS):
        now = cgroups.read_if_used(cgroup)
        if same(cgroups.backend, now, goal):
            return done
        further = writes(cgroups.backend, cgroups.directory(cgroup), now, goal, cgroups.bounds(cgroup))
        write_all(cgroups, further)
        done += further
    now = cgroups.read_if_used(cgroup)
    if same(cgroups.backend, now, goal):
        return done
    found = "; ".join(differences(cgroups, cgroup, now, goal))
    raise Refused(f"the kernel took the write but not the value: {found}")


def differences(cgroups: Cgroups, cgroup: str, now: CpuTune, wanted: CpuTune) -> list[str]:
    """What is not as it should be, a line each."""
    directory = cgroups.host.real(cgroups.directory(cgroup))
    keys = now.differing(wanted)
    return [f"{directory}: {key} is {KNOB[key].format(now[key])}, not {KNOB[key].format(wanted[key])}" for key in keys]
