"""What is saved for a domain after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import WrongState
from cputune.core.goals import merged
from cputune.core.model import Change
from cputune.transaction.tasks import Save

if TYPE_CHECKING:
    from cputune.config.schema import Saved
    from cputune.config.store import Store
    from cputune.planning.builder import PlanBuilder
    from cputune.planning.snapshot import Snapshot


def plan_config(snapshot: Snapshot, builder: PlanBuilder) -> None:
    """Plan the file of a domain's configuration. Raises WrongState for a transient domain, UsageError."""
    from cputune.config.store import Store  # loads yaml

    store = Store(snapshot.cgroups.host)
    if builder.job.forget:
        _plan_removal(store, builder)
        return
    domain = builder.domain
    if not domain.persistent:
        raise WrongState(
            f"cannot change persistent config of a transient domain: {domain.qualified}",
            f"change it while it runs: cputune set {domain.qualified} ... --live",
        )
    saved, pattern = _saved(store, builder)
    builder.saved = _change(builder, saved, pattern)
    _plan_save(builder, saved)


def _plan_removal(store: Store, builder: PlanBuilder) -> None:
    domain = builder.domain
    own = store.load(domain)
    if own.text:
        builder.saves.append(Save(domain.qualified, own.path, None, own.text))
        builder.add_changes("config", own.change, Change())
    if pattern := store.pattern_of(domain):
        builder.note(f"from its next start on it gets what is saved for {domain.runtime}:{pattern}")


def _saved(store: Store, builder: PlanBuilder) -> tuple[Saved, str | None]:
    """What is saved for a domain, and the pattern that this comes from; None where the domain has a file of its own.

    Once it has one, the pattern does not count any more, and what is not named is to stay as it is: the new file
    begins with what the pattern has.
    """
    domain = builder.domain
    saved = store.load(domain)
    pattern = None if saved.text else store.pattern_of(domain)
    if not pattern:
        return saved, None
    builder.note(f"saved on its own from now on, beginning with what {domain.runtime}:{pattern} has")
    return saved._replace(change=store.load(domain._replace(name=pattern)).change), pattern


def _change(builder: PlanBuilder, saved: Saved, pattern: str | None) -> Change:
    """The configuration afterwards. Raises UsageError, WrongState where nothing of a pattern's would be left."""
    from cputune.config.schema import check

    domain = builder.domain
    change = merged(saved.change, builder.request)
    check(change, domain.qualified)
    if pattern and not change.named():
        raise WrongState(
            f"what is saved for {domain.qualified} is {domain.runtime}:{pattern}'s, and can only be removed there",
            f"cputune forget '{domain.runtime}:{pattern}'",
        )
    return change


def _plan_save(builder: PlanBuilder, saved: Saved) -> None:
    from cputune.config.schema import edited

    if builder.saved != saved.change:
        name = builder.domain.qualified
        text = edited(saved, name, builder.saved) if builder.saved.named() else None
        builder.saves.append(Save(name, saved.path, text, saved.text or None))
        builder.add_changes("config", saved.change, builder.saved)
