"""What is recorded of a live change: what cputune put into force, and what was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.goals import concrete, touched
from cputune.core.knobs import QUOTA_AND_PERIOD, WEIGHT, with_pair
from cputune.core.model import Change, CpuTune, Domain, Request
from cputune.transaction.applied import AppliedRecord
from cputune.transaction.tasks import Record

if TYPE_CHECKING:
    from cputune.host.cgroup.cgroups import Cgroups
    from cputune.planning.builder import PlanBuilder
    from cputune.planning.snapshot import Snapshot


def current_record(cgroups: Cgroups, domain: Domain, applied: AppliedRecord | None) -> AppliedRecord:
    """The record if it is about the cgroup that is there now; an empty one where that was made anew since."""
    inode = cgroups.inode(domain.limit_cgroup) if domain.limit_cgroup else None
    return applied if applied and applied.inode == inode else AppliedRecord(Change(), inode)


def plan_record(snapshot: Snapshot, builder: PlanBuilder) -> None:
    """Plan the record of what is put into force; of a domain that is to be forgotten, an empty one."""
    domain = builder.domain
    if builder.job.forget:
        # It says that cputune was here: what is saved for a pattern waits for the domain's next start.
        left = AppliedRecord(Change(), builder.current_record.inode) if domain.limit_cgroup else None
        builder.records += [Record(domain, left, builder.applied)] if builder.applied else []
    elif builder.cgroup_tasks:
        builder.records.append(Record(domain, _new_record(snapshot, builder), builder.applied))


def _new_record(snapshot: Snapshot, builder: PlanBuilder) -> AppliedRecord:
    request, current = builder.request, builder.current_record
    change = current.change.updated(_in_force(request.change, builder.now.period))
    weight = _weight_to_remember(builder.now, request, current)
    return AppliedRecord(change, current.inode, weight, _found(snapshot.cgroups.backend.weight_key, builder))


def _in_force(change: Change, period: int | None) -> Change:
    """The change with a quota and its period in place of a number of CPUs."""
    found = concrete(change, period)
    return found if change.cpus is None else found.replace(period=change.period or period)


def _found(weight_key: str, builder: PlanBuilder) -> Change:
    """What was there before cputune set anything."""
    keys = with_pair(touched(builder.request), QUOTA_AND_PERIOD)
    keys |= {"idle", weight_key} if keys & set(WEIGHT) else set()
    set_by_runtime = with_pair(builder.job.set_by_runtime, QUOTA_AND_PERIOD)
    now = builder.now.only(keys).named()
    newer = {key: value for key, value in now.items() if key in set_by_runtime}
    return Change(**{**now, **builder.current_record.found.named(), **newer})


def _weight_to_remember(now: CpuTune, request: Request, current: AppliedRecord) -> int | None:
    """The shares or weight from before the group became idle, as long as it is."""
    if request.change.idle and not now.idle:
        return now.shares if now.shares is not None else now.weight
    return current.weight if now.idle and request.change.idle is not False else None
