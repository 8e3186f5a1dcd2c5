"""What is known of a running domain that tells who changed it: cputune's record, the runtime's memory, systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Change, CpuTune, Domain, KnobCgroup
from cputune.drift.compare import Facts, Held, explain, held_state
from cputune.host.systemd import differs, unit_of, wanted, word

if TYPE_CHECKING:
    from cputune.drift.records import AppliedIndex
    from cputune.host.systemd import Properties, Unit
    from cputune.transaction.context import Context


def facts_of(
    context: Context, domain: Domain, state: CpuTune, saved: Change, remembered: Change, in_force: AppliedIndex
) -> Facts:
    """All that can be known of a domain; systemd is asked only where that could explain something."""
    last, here = in_force.last(domain), in_force.here(domain)
    restarted = last is not None and last.inode != context.cgroups.inode(domain.limit or "")
    facts = Facts(
        domain,
        context.cgroups.hierarchy.version,
        state,
        saved,
        here,
        restarted,
        given_back=last is not None and not restarted and here is None,
        remembered=remembered,
        elsewhere=tuple(in_force.elsewhere(domain)),
    )
    asked = any(difference.drift and difference.applied is not None for difference in explain(facts))
    return facts._replace(held=tuple(_held(context, domain))) if asked else facts


def _held(context: Context, domain: Domain) -> list[Held]:
    """What systemd holds for the units that a domain's cgroups are; nothing where it cannot be asked."""
    found = []
    for seat in domain.seats():
        unit, properties, held = _properties(context, seat)
        if unit and held:
            try:
                grain = context.systemd.grain(unit)
            except CpuTuneError:
                continue
            found.append(Held(unit.label, held_state({name: held[name] for name in properties}), grain))
    return found


def held_otherwise(context: Context, domain: Domain) -> list[str]:
    """Where systemd holds something else for the unit of a cgroup: it will write that at its next reload."""
    lines = []
    for seat in domain.seats():
        unit, properties, held = _properties(context, seat)
        names = [name for name in properties if held and differs({name: held[name]}, {name: properties[name]})]
        for name in names:
            label = unit.label if unit else ""
            lines.append(f"{label}: systemd holds {name} {word(held[name])}, live {word(properties[name])}")
    return lines


def _properties(context: Context, seat: KnobCgroup) -> tuple[Unit | None, Properties, Properties]:
    """The unit that a cgroup is, the properties that would say what is in force, and what systemd holds."""
    systemd, cgroups = context.systemd, context.cgroups
    unit = unit_of(seat.cgroup) if systemd.booted() else None
    if unit is None:
        return None, {}, {}
    try:
        properties = wanted(cgroups.hierarchy.version, cgroups.read_if_used(seat.cgroup), frozenset(seat.carries))
        return unit, properties, systemd.get(unit, properties, seat.cgroup) if properties else {}
    except CpuTuneError:
        return unit, {}, {}
