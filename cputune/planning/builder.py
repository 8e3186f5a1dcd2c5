"""The plan for one domain, in the making."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cputune.core.goals import targets
from cputune.core.knobs import KNOB
from cputune.core.model import Change, CpuTune, KnobChange, KnobValues
from cputune.planning.plan import Job, Outcome
from cputune.transaction.applied import AppliedRecord

if TYPE_CHECKING:
    from cputune.transaction.cgroup_task import CgroupTask
    from cputune.transaction.tasks import Record, Save, Task


class PlanBuilder:
    """Collects what one job takes; `live`, `config` and `native` add to it in this order."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.domain = job.domain
        self.request = job.request
        self.live, self.config = targets(job.where, job.domain)
        self.changes: list[KnobChange] = []
        self.cgroup_tasks: list[CgroupTask] = []
        self.records: list[Record] = []
        self.saves: list[Save] = []
        self.natives: list[Task] = []
        self.now = CpuTune()
        """What is in force, where that is concerned."""
        self.applied: AppliedRecord | None = None
        """The record of what cputune put into force."""
        self.current_record = AppliedRecord(Change())
        """The same, if it is about the cgroup that the domain has now; else an empty one."""
        self.saved = Change()
        """The configuration afterwards, where it is concerned."""
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something to tell the user."""
        self.notes.append(f"{self.domain.qualified}: {text}")

    def add_changes(
        self,
        where: Literal["live", "config", "native"],
        before: KnobValues,
        after: KnobValues,
        given: Change | None = None,
    ) -> None:
        """Note the knobs that differ between two states, two configurations or two memories.

        `given` is what was asked for, perhaps in another unit than the kernel's.
        """
        for key in before.differing(after):
            if where != "live" or after[key] is not None:
                other = KNOB[key].alternative
                in_other_unit = given[other] if given and other else None
                name = self.domain.qualified
                self.changes.append(KnobChange(name, where, key, before[key], after[key], in_other_unit))

    def tasks(self) -> tuple[Task, ...]:
        """All there is to do for it."""
        return (*self.cgroup_tasks, *self.records, *self.saves, *self.natives)

    def outcome(self) -> Outcome:
        """The finished plan of this domain."""
        return Outcome(self.domain, tuple(self.changes), self.tasks(), tuple(self.notes))
