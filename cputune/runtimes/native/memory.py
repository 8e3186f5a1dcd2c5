"""What a runtime itself remembers of a domain's limits: it writes them back at its next update, or at the next start.

One small module a runtime, imported when it is needed: `read` tells what is remembered, `orders` what has to be run
or written, through the runtime's own interface, so that it remembers something else. Nothing here changes anything:
`cputune.transaction` carries the orders out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import Unsupported
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_WEIGHT, KNOB, UNLIMITED
from cputune.core.model import Change, CpuTune, Domain
from cputune.runtimes.registry import RUNTIMES

if TYPE_CHECKING:
    from typing import Protocol

    from cputune.host.cgroup.cgroups import Cgroups

    class Memory(Protocol):
        """What each module here is."""

        def read(self, cgroups: Cgroups, domain: Domain) -> Remembered: ...
        def orders(self, cgroups: Cgroups, domain: Domain, wanted: Wanted) -> Orders: ...


class Remembered(NamedTuple):
    """What a runtime remembers of a domain."""

    change: Change | None
    """In the runtime's own terms: shares, microseconds; empty where it remembers nothing, None where we cannot tell."""
    raw: object = None
    """The records themselves: equal ones are the same memory."""
    other: object = None
    """What else is in the same records, where taking a change back writes all of them."""


class Wanted(NamedTuple):
    """What it is to remember from now on."""

    change: Change
    """The knobs that were named, quota and period always together."""
    goal: CpuTune
    """All that will be in force in the kernel."""


class Run(NamedTuple):
    """Run a program of the runtime's, as `user` where that is given."""

    argv: tuple[str, ...]
    user: int | None = None
    input: str | None = None
    mend: str | None = None
    """What to run where the runtime's daemon cannot be reached."""


class Edit(NamedTuple):
    """Give a file of the runtime's, at this path of ours, another text; None is no file."""

    path: str
    text: str | None


Step = Run | Edit


class Orders(NamedTuple):
    """How to change a memory, and how to change it back."""

    forward: tuple[Step, ...]
    back: tuple[Step, ...]
    after: Change | None
    """What it will remember then, in its own terms; None where `read` cannot tell."""


def of(domain: Domain) -> Memory | None:
    """The module for a domain's runtime; None where that remembers nothing that could be changed."""
    name = RUNTIMES[domain.runtime].native
    if name is None:
        return None
    found: Memory = import_module(f"cputune.runtimes.native.{name}")
    return found


def require(domain: Domain) -> Memory:
    """The same. Raises Unsupported where there is none."""
    found = of(domain)
    if found is None:
        raise Unsupported(
            f"--native: {domain.runtime} has no memory of limits that outlives a container",
            f"leave it away: cputune set {domain.qualified} ... --live --config",
        )
    return found


def refuse(domain: Domain, key: str, why: str, hint: str | None = None) -> Unsupported:
    """The error for a knob that a runtime cannot be made to remember."""
    return Unsupported(
        f"--native: {domain.runtime} cannot be made to remember {KNOB[key].option}: {why}",
        hint or f"leave --native away: cputune set {domain.qualified} {KNOB[key].option} ... --live --config",
    )


def refuse_elsewhere(cgroups: Cgroups, domain: Domain) -> None:
    """Raise Unsupported where the host is another one's file system, mounted: its programs are not ours to run."""
    if cgroups.host.root:
        raise Unsupported(
            f"--native: {domain.runtime}'s own command cannot be run for a host at {cgroups.host.root}",
            "run cputune on that host",
        )


def refuse_all_but(domain: Domain, wanted: Change, *keys: str) -> None:
    """Raise Unsupported for a knob outside `keys` that is to have another value than its default."""
    for key, value in wanted.named().items():
        if key not in keys and value:
            raise refuse(domain, key, "it has no setting for that")


def agree(one: Change | None, other: Change | None, default_shares: int) -> bool:
    """Whether two memories mean the same, as far as we can tell. Nothing remembered is what a new container has."""
    if one is None or other is None:
        return True
    return _meaning(one, default_shares) == _meaning(other, default_shares)


def _meaning(change: Change, default_shares: int) -> tuple[object, ...]:
    limited = change.quota is not None and change.quota is not UNLIMITED
    band = (change.quota, change.period or DEFAULT_PERIOD, change.burst or 0) if limited else None
    return band, change.shares or default_shares, change.weight or DEFAULT_WEIGHT, bool(change.idle)
