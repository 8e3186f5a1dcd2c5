"""Changing many domains: all or none, or as many as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.transaction.locks import Keys, keys_of
from cputune.transaction.signals import all_done

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.planning.plan import Job, Plan


def carry_out(
    tuner: Tuner,
    jobs: list[Job],
    failed: Callable[[CpuTuneError], object] | None,
    *,
    dry_run: bool = False,
    native: bool = False,
) -> list[Plan]:
    """Change domains as one transaction; with `failed`, which is called with each error, as one per family.

    A family are domains that lock the same names, such as those inside one another on cgroup v1, where the limit of
    one can stand in the way of the other's. Without `failed`, raises CpuTuneError, and then nothing has changed.
    """
    if failed is None:
        return [tuner.change(jobs, dry_run=dry_run, native=native)] if jobs else []
    plans = []
    all_done(False)
    for family in _families(tuner, jobs):
        try:
            plans.append(tuner.change(family, dry_run=dry_run, native=native))
        except CpuTuneError as error:
            failed(error)
        all_done(False)
    all_done(True)
    return plans


def _families(tuner: Tuner, jobs: Iterable[Job]) -> list[list[Job]]:
    families: list[tuple[Keys, list[Job]]] = []
    for job in jobs:
        keys, members = keys_of(tuner.cgroups, [job.domain]), [job]
        others = []
        for known, family in families:
            if known.meet(keys):
                keys = Keys(known.exclusive | keys.exclusive, known.shared | keys.shared)
                members = family + members
            else:
                others.append((known, family))
        families = [*others, (keys, members)]
    return [members for _, members in families]
