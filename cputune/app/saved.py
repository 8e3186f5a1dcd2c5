"""All that is saved, with what is known of the domains that it is for: `cputune status --config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cputune.core.errors import CpuTuneError, NoSuchDomain
from cputune.core.model import Change
from cputune.core.names import fits, is_pattern
from cputune.runtimes import lookup

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner
    from cputune.config.store import Store


class SavedRow(NamedTuple):
    """One saved configuration."""

    name: str
    state: str
    """Of its domain: running, stopped, not there; of a pattern, how many domains it counts for now."""
    saved: Change
    path: str
    problem: str | None = None


def saved_rows(tuner: Tuner, store: Store, wanted: tuple[str, ...]) -> list[SavedRow]:
    """What is saved for the domains of the `wanted` runtimes, or of all of them. Raises CpuTuneError."""
    names = dict(store.names())
    return [_row(tuner, store, names, name) for name in names if not wanted or name.partition(":")[0] in wanted]


def _row(tuner: Tuner, store: Store, names: dict[str, str], name: str) -> SavedRow:
    from cputune.config.schema import parse
    from cputune.config.store import read

    path = names[name]
    runtime, _, own = name.partition(":")
    state = _fitting(tuner, store, names, runtime, own) if is_pattern(own) else _state(tuner, name)
    try:
        return SavedRow(name, state, parse(path, read(path) or "").change, path)
    except CpuTuneError as error:
        return SavedRow(name, state, Change(), path, error.message)


def _fitting(tuner: Tuner, store: Store, names: dict[str, str], runtime: str, pattern: str) -> str:
    """How many domains a pattern counts for: those without a file of their own, or a pattern that fits better."""
    listed = lookup.domains(tuner.cgroups, (runtime,))
    fitting = [domain for domain in listed if domain.qualified not in names and fits(pattern, domain.name)]
    return f"fits {len([domain for domain in fitting if store.pattern_of(domain) == pattern])}"


def _state(tuner: Tuner, name: str) -> str:
    try:
        return "running" if tuner.find(name).running else "stopped"
    except NoSuchDomain:
        return "not there"
    except CpuTuneError as error:
        return f"unknown: {error.message}"
