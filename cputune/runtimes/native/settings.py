"""The limits that a runtime itself remembers of a domain: it writes them back at its next update, or at the next start.

One small module a runtime, imported when it is needed: `read` tells what is remembered, `plan` what has to be run or
written, through the runtime's own interface, so that it remembers something else. Nothing here changes anything:
`cputune.transaction.native` carries the plans out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError, Unsupported
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT, KNOB, UNLIMITED
from cputune.core.model import Change, CpuTune, Domain, Scale
from cputune.core.units import shares_of_weight
from cputune.runtimes.registry import RUNTIMES

if TYPE_CHECKING:
    from typing import Protocol

    from cputune.host.cgroup.cgroups import Cgroups

    class NativeModule(Protocol):
        """What each module here is."""

        def read(self, cgroups: Cgroups, domain: Domain) -> Settings:
            """Return what the runtime remembers of a domain. Raises CpuTuneError."""

        def plan(self, cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
            """Return how to make the runtime remember `wanted`. Raises CpuTuneError."""


class Settings(NamedTuple):
    """What a runtime remembers of a domain."""

    change: Change | None
    """In the runtime's own terms: shares, microseconds. Empty if it remembers nothing, None if that cannot be told."""
    raw: object = None
    """The records themselves: equal records mean that the runtime remembers the same."""
    other: object = None
    """What else is in the same records, if restoring the limits writes all of them."""


class WantedSettings(NamedTuple):
    """What a runtime is to remember from now on."""

    change: Change
    """The knobs that were named; quota and period always together."""
    goal: CpuTune
    """All that will be in force in the kernel."""


class RunCommand(NamedTuple):
    """Run a program of the runtime's, as `user` if that is given."""

    argv: tuple[str, ...]
    user: int | None = None
    input: str | None = None
    """The text on its standard input."""
    hint: str | None = None
    """The command to run if the runtime's daemon cannot be reached."""


class EditFile(NamedTuple):
    """Give another text to a file of the runtime's, at this path of ours; None removes the file."""

    path: str
    text: str | None


NativeAction = RunCommand | EditFile


class NativePlan(NamedTuple):
    """How to change what is remembered, and how to change it back."""

    forward: tuple[NativeAction, ...]
    back: tuple[NativeAction, ...]
    after: Change | None
    """What the runtime will remember then, in its own terms; None if `read` cannot tell."""


def module_of(domain: Domain) -> NativeModule | None:
    """Return the module for a domain's runtime; None if that remembers nothing that could be changed."""
    name = RUNTIMES[domain.runtime].native
    if name is None:
        return None
    found: NativeModule = import_module(f"cputune.runtimes.native.{name}")
    return found


def remembered(cgroups: Cgroups, domain: Domain) -> Change:
    """Return what a domain's runtime remembers, as far as files tell; nothing if they cannot be read."""
    module = module_of(domain)
    try:
        return (module.read(cgroups, domain).change if module else None) or Change()
    except CpuTuneError:
        return Change()


def require_module(domain: Domain) -> NativeModule:
    """Return the module for a domain's runtime. Raises Unsupported if there is none."""
    found = module_of(domain)
    if found is None:
        raise Unsupported(
            f"--native: {domain.runtime} remembers no limits of its containers",
            f"leave it out: cputune set {domain.qualified} ... --live --config",
        )
    return found


def cannot_remember(domain: Domain, key: str, why: str, hint: str | None = None) -> Unsupported:
    """Return the error for a knob that a runtime cannot be made to remember."""
    return Unsupported(
        f"--native: {domain.runtime} cannot be made to remember {KNOB[key].option}: {why}",
        hint or f"leave --native out: cputune set {domain.qualified} {KNOB[key].option} ... --live --config",
    )


def refuse_other_host(cgroups: Cgroups, domain: Domain) -> None:
    """Raise Unsupported if the host is a mounted file system: its programs cannot be run here."""
    if cgroups.host.root:
        raise Unsupported(
            f"--native: {domain.runtime}'s own command cannot be run for a host at {cgroups.host.root}",
            "run cputune on that host",
        )


def refuse_other_knobs(domain: Domain, wanted: Change, *keys: str) -> None:
    """Raise Unsupported if a knob outside `keys` is to have another value than its default."""
    for key, value in wanted.named().items():
        if key not in keys and value:
            raise cannot_remember(domain, key, "it has no setting for that")


def mean_the_same(one: Change | None, other: Change | None, default_shares: int) -> bool:
    """Whether two settings mean the same, as far as can be told. Without any, a container has the defaults. Pure."""
    if one is None or other is None:
        return True
    return _meaning(one, default_shares) == _meaning(other, default_shares)


def _meaning(change: Change, default_shares: int) -> tuple[object, ...]:
    limited = change.quota is not None and change.quota is not UNLIMITED
    bandwidth = (change.quota, change.period or DEFAULT_PERIOD, change.burst or 0) if limited else None
    return bandwidth, change.shares or default_shares, change.weight or DEFAULT_WEIGHT, bool(change.idle)


def shares_for(cgroups: Cgroups, domain: Domain, change: Change) -> int | None:
    """Return the shares to give to the runtime for a change; None if it names neither shares nor weight."""
    if change.weight is None:
        return change.shares
    return shares_of_weight(change.weight, Scale.KERNEL if cgroups.hierarchy.version == 1 else domain.scale)


def default_shares(cgroups: Cgroups, domain: Domain) -> int:
    """Return the shares that stand for the weight of a new container."""
    return DEFAULT_SHARES if cgroups.hierarchy.version == 1 else shares_of_weight(DEFAULT_WEIGHT, domain.scale)
