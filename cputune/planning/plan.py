"""What is wanted of domains, and what a plan is: the values that go into the planner, and come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.goals import Where
from cputune.core.model import Domain, KnobChange, Request

if TYPE_CHECKING:
    from cputune.transaction.tasks import Task


class Job(NamedTuple):
    """What is wanted of one domain."""

    domain: Domain
    request: Request
    where: Where = "current"
    forget: bool = False
    """Whether cputune keeps nothing about the domain: no record, and with config no file."""
    set_by_runtime: frozenset[str] = frozenset()
    """Knobs that the runtime has set in the same start: what they have now is what was there before cputune."""


class Outcome(NamedTuple):
    """What a change did, or with --dry-run would do, to one domain."""

    domain: Domain
    changes: tuple[KnobChange, ...]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]


class Plan(NamedTuple):
    """What a change of some domains takes."""

    outcomes: tuple[Outcome, ...]
    """One a domain."""
    tasks: tuple[Task, ...]
    """The tasks of all domains, in an order that the kernel accepts."""
