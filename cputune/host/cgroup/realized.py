"""What systemd writes into the files of a unit's cgroup when one of the unit's CPU properties changes. Pure.

systemd then writes all of its CPU attributes again, not just the one that changed: cgroup_context_apply() in
src/core/cgroup.c, for CGROUP_MASK_CPU. It never writes a burst, and it ignores what the kernel refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.model import CpuTune, Write
from cputune.host.cgroup.bandwidth import Bounds, fits
from cputune.host.cgroup.plan import band_of

if TYPE_CHECKING:
    from cputune.host.cgroup.backend import Backend


class Realized(NamedTuple):
    """What systemd does to a cgroup."""

    writes: tuple[Write, ...]
    """Those that give a file another value, in systemd's order."""
    state: CpuTune
    """What the cgroup has afterwards."""


def realized(backend: Backend, directory: str, now: CpuTune, held: CpuTune, bounds: Bounds) -> Realized:
    """Return what systemd makes of a unit's cgroup in state `now` if it holds `held`: weight first, then bandwidth."""
    weight_writes, state = _weight(backend, directory, now, held)
    band_writes, state = _bandwidth(backend, directory, state, held, bounds)
    return Realized((*weight_writes, *band_writes), state)


def _weight(backend: Backend, directory: str, now: CpuTune, held: CpuTune) -> tuple[list[Write], CpuTune]:
    found: list[Write] = []
    key = backend.weight_key
    if now.idle is not None and held.idle is not None and now.idle != held.idle:
        found.append(backend.write(directory, "idle", now, held))
        now = now.replace(idle=held.idle, **{key: backend.default_weight})  # kernel/sched/core.c, sched_group_set_idle
    # An idle group's weight cannot be written; on v1 systemd tries nevertheless.
    if not now.idle and None not in (now[key], held[key]) and now[key] != held[key]:
        found.append(backend.write(directory, key, now, held))
        now = now.replace_from(held, (key,))
    return found, now


def _bandwidth(
    backend: Backend, directory: str, now: CpuTune, held: CpuTune, bounds: Bounds
) -> tuple[list[Write], CpuTune]:
    found: list[Write] = []
    band, wanted = band_of(now), band_of(held)
    if band is None or wanted is None:
        return found, now
    for fields in backend.systemd_moves:
        step = band._replace(**{field: getattr(wanted, field) for field in fields})
        if step != band and fits(step, bounds):
            found.append(backend.band_write(directory, band, step))
            band = step
    return found, now.replace(quota=band.quota, period=band.period)
