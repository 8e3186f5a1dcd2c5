"""What is wanted of domains, and what a plan is: the values that go into the planner, and come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from cputune.core.goals import Where, targets
from cputune.core.knobs import Value
from cputune.core.model import Change, CpuTune, Domain, KnobCgroup, KnobValues, Request, Source
from cputune.transaction.applied import AppliedRecord

if TYPE_CHECKING:
    from cputune.transaction.tasks import CgroupTask, Record, Save, Task


class Moved(NamedTuple):
    """One knob before and after: in the terms of the kernel (live), as it is saved (config), or remembered (native)."""

    source: Source | Literal["native"]
    key: str
    before: Value
    after: Value
    shares: int | None = None
    """What was given, where the kernel counts in weight."""


class Job(NamedTuple):
    """What is wanted of one domain."""

    domain: Domain
    request: Request
    where: Where = "current"
    forget: bool = False
    """Whether cputune is to have nothing to do with it from then on: no record, and with config no file."""
    theirs: frozenset[str] = frozenset()
    """Knobs that the runtime has set in the same start: what they have now is what was there before cputune."""


class Outcome(NamedTuple):
    """What a change did, or with --dry-run would do, to one domain."""

    domain: Domain
    moved: tuple[Moved, ...]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]


class Plan(NamedTuple):
    """What a change of some domains takes."""

    outcomes: tuple[Outcome, ...]
    """One a domain."""
    tasks: tuple[Task, ...]
    """All of theirs, in the order in which the kernel takes them."""


class PlanBuilder:
    """An outcome in the making."""

    def __init__(self, job: Job) -> None:
        self.domain = job.domain
        self.request = job.request
        self.forget = job.forget
        self.theirs = job.theirs
        self.live, self.config = targets(job.where, job.domain)
        self.moved: list[Moved] = []
        self.tunes: list[CgroupTask] = []
        self.records: list[Record] = []
        self.saves: list[Save] = []
        self.natives: list[Task] = []
        self.now = CpuTune()
        """What is in force, where that is concerned."""
        self.applied: AppliedRecord | None = None
        """The record of what cputune put into force."""
        self.kept = AppliedRecord(Change())
        """The same, as far as the cgroup is the one that it tells of."""
        self.saved = Change()
        """The configuration afterwards, where it is concerned."""
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something to tell the user."""
        self.notes.append(f"{self.domain.qualified}: {text}")

    def move(
        self,
        source: Source | Literal["native"],
        before: KnobValues,
        after: KnobValues,
        shares: int | None = None,
    ) -> None:
        """Take down the knobs that differ between two states, two configurations or two memories."""
        for key in before.differing(after):
            if source != "live" or after[key] is not None:
                self.moved.append(Moved(source, key, before[key], after[key], shares if key == "weight" else None))

    def tasks(self) -> tuple[Task, ...]:
        """All there is to do for it."""
        return (*self.tunes, *self.records, *self.saves, *self.natives)

    def outcome(self) -> Outcome:
        """The finished outcome."""
        return Outcome(self.domain, tuple(self.moved), self.tasks(), tuple(self.notes))


class CgroupChange(NamedTuple):
    """One cgroup that is to change."""

    draft: PlanBuilder
    seat: KnobCgroup
    keys: frozenset[str]
    """The knobs that were named, of those it carries."""
    now: CpuTune
    goal: CpuTune
    """Of bandwidth and weight it gets the whole of what any knob was named of: both levels of crun's are to agree."""

    @property
    def cgroup(self) -> str:
        """Where it is."""
        return self.seat.cgroup
