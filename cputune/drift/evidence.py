"""Gathers the facts that tell who has changed a running domain: records, the runtime's memory, systemd's properties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError
from cputune.core.model import Change, CpuTune, Domain, KnobCgroup
from cputune.drift.compare import Facts, Held, explain
from cputune.host.held import held_state
from cputune.host.systemd import differs, unit_of, wanted, word

if TYPE_CHECKING:
    from cputune.drift.records import AppliedIndex
    from cputune.host.systemd import Properties, Unit
    from cputune.transaction.context import Context


def gather_facts(
    context: Context, domain: Domain, state: CpuTune, saved: Change, remembered: Change, index: AppliedIndex
) -> Facts:
    """Return all that is known of a domain. systemd is asked only if it may have caused a difference: that is slow."""
    latest, applied = index.latest(domain), index.current(domain)
    restarted = latest is not None and latest.inode != context.cgroups.inode(domain.limit_cgroup or "")
    facts = Facts(
        domain,
        context.cgroups.hierarchy.version,
        state,
        saved,
        applied,
        restarted,
        given_back=latest is not None and not restarted and applied is None,
        remembered=remembered,
        elsewhere=tuple(index.under_other_names(domain)),
    )
    unexplained = any(difference.drift and difference.applied is not None for difference in explain(facts))
    return facts._replace(held=tuple(_held(context, domain))) if unexplained else facts


def _held(context: Context, domain: Domain) -> list[Held]:
    """Return what systemd holds for the units of a domain's cgroups, without those that it cannot be asked about."""
    found = []
    for carrier in domain.knob_cgroups():
        unit, properties, held = _properties(context, carrier)
        if unit and held:
            try:
                grain = context.systemd.grain(unit)
            except CpuTuneError:
                continue
            state = held_state(context.cgroups.hierarchy.version, {name: held[name] for name in properties})
            found.append(Held(unit.label, state, grain))
    return found


def differing_properties(context: Context, domain: Domain) -> list[str]:
    """Describe, a line each, what systemd holds other than it is in force: it writes that at its next reload."""
    lines = []
    for carrier in domain.knob_cgroups():
        unit, properties, held = _properties(context, carrier)
        names = [name for name in properties if held and differs({name: held[name]}, {name: properties[name]})]
        for name in names:
            label = unit.label if unit else ""
            lines.append(f"{label}: systemd holds {name} {word(held[name])}, live {word(properties[name])}")
    return lines


def _properties(context: Context, carrier: KnobCgroup) -> tuple[Unit | None, Properties, Properties]:
    """Return the unit of a cgroup, the properties that stand for what is in force, and those that systemd holds."""
    systemd, cgroups = context.systemd, context.cgroups
    unit = unit_of(carrier.cgroup) if systemd.booted() else None
    if unit is None:
        return None, {}, {}
    try:
        state = cgroups.read_if_used(carrier.cgroup)
        properties = wanted(cgroups.hierarchy.version, state, frozenset(carrier.carries))
        return unit, properties, systemd.get(unit, properties, carrier.cgroup) if properties else {}
    except CpuTuneError:
        return unit, {}, {}
