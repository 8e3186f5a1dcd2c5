"""Configurations of another host -> the tasks that save them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.drafts import Moved, Outcome, Plan
from cputune.errors import WrongState
from cputune.model import Change, Domain
from cputune.transaction.tasks import Save

if TYPE_CHECKING:
    from cputune.store import Store


def planned(store: Store, domains: list[Domain], wanted: list[tuple[str, str, Change]], *, replace: bool) -> Plan:
    """The plan. Raises WrongState where something else is saved already and is not to be replaced."""
    outcomes, others = [], []
    for domain, (name, text, change) in zip(domains, wanted, strict=True):
        before = store.load(domain)
        if before.text and before.change != change:
            others.append(name)
        saves = () if before.change == change else (Save(name, before.path, text, before.text or None),)
        moved = tuple(
            Moved("config", key, old, new)
            for key, old, new in zip(Change._fields, before.change, change, strict=True)
            if old != new
        )
        notes = () if saves else (f"{name}: nothing to do: this is saved already",)
        outcomes.append(Outcome(domain, moved, saves, notes))
    if others and not replace:
        raise WrongState(f"something else is saved for {', '.join(others)}", "cputune import --replace ...")
    return Plan(tuple(outcomes), tuple(task for outcome in outcomes for task in outcome.tasks))
