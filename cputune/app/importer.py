"""Saving configurations for domains that need not exist, by their names alone: `cputune import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.config.schema import written
from cputune.core.errors import Ambiguous, NoSuchDomain, UsageError, WrongState
from cputune.core.model import Change, Domain, KnobChange
from cputune.core.names import check, is_pattern, printable
from cputune.planning.plan import Outcome, Plan
from cputune.runtimes import lookup
from cputune.runtimes.registry import PERSISTENT
from cputune.transaction.locks import keys_of
from cputune.transaction.tasks import Save

if TYPE_CHECKING:
    from collections.abc import Callable

    from cputune.app.tuner import Tuner
    from cputune.config.store import Store


def planned(store: Store, domains: list[Domain], wanted: list[tuple[str, str, Change]], *, replace: bool) -> Plan:
    """The plan that saves each text. Raises WrongState if something else is saved and `replace` is not given."""
    outcomes, others = [], []
    for domain, (name, text, change) in zip(domains, wanted, strict=True):
        before = store.load(domain)
        if before.text and before.change != change:
            others.append(name)
        saves = () if before.change == change else (Save(name, before.path, text, before.text or None),)
        changes = tuple(
            KnobChange(name, "config", key, before.change[key], change[key]) for key in before.change.differing(change)
        )
        notes = () if saves else (f"{name}: nothing to do: this is saved already",)
        outcomes.append(Outcome(domain, changes, saves, notes))
    if others and not replace:
        raise WrongState(f"something else is saved for {', '.join(others)}", "cputune import --replace ...")
    return Plan(tuple(outcomes), tuple(task for outcome in outcomes for task in outcome.tasks))


def save_all(tuner: Tuner, wanted: list[tuple[str, str, Change]], *, replace: bool, dry_run: bool) -> Plan:
    """Save a configuration for each name (RUNTIME:NAME, existing or not), as one transaction.

    `wanted` are names, texts of files, and what these say. Raises UsageError for another kind of name, WrongState if
    something else is saved and `replace` is not given.
    """
    domains = [named_domain(name) for name, _, _ in wanted]
    wanted = [
        (domain.qualified, text if name == domain.qualified else written(domain.qualified, change), change)
        for domain, (name, text, change) in zip(domains, wanted, strict=True)
    ]
    keys = keys_of(tuner.cgroups, domains)
    if dry_run:
        return planned(tuner.store(), domains, wanted, replace=replace)
    with tuner.serialised(lambda _: keys):
        plan = tuner.announced(planned(tuner.store(), domains, wanted, replace=replace))
        tuner.perform(plan)
    return plan


def known_or_to_be(tuner: Tuner, name: str) -> Domain:
    """The domain, or, if it does not exist yet, the one that will have this RUNTIME:NAME. Raises NoSuchDomain."""

    def to_be() -> Domain | None:
        if lookup.split(name)[0] not in PERSISTENT:
            return None
        domain = named_domain(name)
        tuner.context.say(f"{domain.qualified} does not exist yet: saved for when it does")
        return domain

    return _known_or(tuner, name, to_be)


def known_or_saved(tuner: Tuner, name: str) -> Domain:
    """The domain, or, if it does not exist any more, that of a configuration that is left. Raises NoSuchDomain."""

    def left() -> Domain | None:
        saved = [known for known, _ in tuner.store().names() if name in (known, known.partition(":")[2])]
        return named_domain(saved[0]) if len(saved) == 1 else None

    return _known_or(tuner, name, left)


def _known_or(tuner: Tuner, name: str, other: Callable[[], Domain | None]) -> Domain:
    try:
        return tuner.find(name)
    except Ambiguous:
        raise
    except NoSuchDomain:
        found = other()
        if found is None:
            raise
        return found


def named_domain(name: str) -> Domain:
    """The domain of a configuration, made from RUNTIME:NAME without looking for it. Raises UsageError. Pure."""
    runtime, own = lookup.split(check(name))
    if runtime not in PERSISTENT or not own:
        raise UsageError(
            f"{printable(name)} is not a domain that a configuration can be saved for",
            f"write RUNTIME:NAME; runtimes: {', '.join(PERSISTENT)}",
        )
    if not is_pattern(own):
        own = lookup.completed(runtime, own)
    lookup.refuse_impossible(runtime, own)
    return Domain(runtime, own, running=False, persistent=True)
