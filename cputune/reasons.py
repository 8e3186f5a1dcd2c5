"""What is known of a running domain that tells who changed it: cputune's record, the runtime's memory, systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.drift import Facts, Held, explain, held_state
from cputune.errors import CpuTuneError
from cputune.model import Change, CpuTune, Domain, Seat
from cputune.systemd import differs, unit_of, wanted, word

if TYPE_CHECKING:
    from cputune.inforce import InForce
    from cputune.systemd import Properties, Unit
    from cputune.tune import Tuner


def facts_of(
    tuner: Tuner, domain: Domain, state: CpuTune, saved: Change, remembered: Change, in_force: InForce
) -> Facts:
    """All that can be known of a domain; systemd is asked only where that could explain something."""
    last, here = in_force.last(domain), in_force.here(domain)
    restarted = last is not None and last.inode != tuner.site.inode(domain.limit or "")
    facts = Facts(
        domain,
        tuner.site.hierarchy.version,
        state,
        saved,
        here,
        restarted,
        given_back=last is not None and not restarted and here is None,
        remembered=remembered,
        elsewhere=tuple(in_force.elsewhere(domain)),
    )
    asked = any(difference.drift and difference.applied is not None for difference in explain(facts))
    return facts._replace(held=tuple(_held(tuner, domain))) if asked else facts


def _held(tuner: Tuner, domain: Domain) -> list[Held]:
    """What systemd holds for the units that a domain's cgroups are; nothing where it cannot be asked."""
    found = []
    for seat in domain.seats():
        unit, properties, held = _properties(tuner, seat)
        if unit and held:
            try:
                grain = tuner.tools.systemd.grain(unit)
            except CpuTuneError:
                continue
            found.append(Held(unit.label, held_state({name: held[name] for name in properties}), grain))
    return found


def held_otherwise(tuner: Tuner, domain: Domain) -> list[str]:
    """Where systemd holds something else for the unit of a cgroup: it will write that at its next reload."""
    lines = []
    for seat in domain.seats():
        unit, properties, held = _properties(tuner, seat)
        names = [name for name in properties if held and differs({name: held[name]}, {name: properties[name]})]
        for name in names:
            label = unit.label if unit else ""
            lines.append(f"{label}: systemd holds {name} {word(held[name])}, live {word(properties[name])}")
    return lines


def _properties(tuner: Tuner, seat: Seat) -> tuple[Unit | None, Properties, Properties]:
    """The unit that a cgroup is, the properties that would say what is in force, and what systemd holds."""
    systemd, site = tuner.tools.systemd, tuner.site
    unit = unit_of(seat.cgroup) if systemd.booted() else None
    if unit is None:
        return None, {}, {}
    try:
        properties = wanted(site.hierarchy.version, site.read_if_used(seat.cgroup), frozenset(seat.carries))
        return unit, properties, systemd.get(unit, properties, seat.cgroup) if properties else {}
    except CpuTuneError:
        return unit, {}, {}
