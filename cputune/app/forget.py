"""Forgetting a domain: its configuration, and with --live the limits that cputune has set: `cputune forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import UsageError, WrongState
from cputune.core.knobs import SHARES_AND_WEIGHT, with_pair
from cputune.core.model import Change, Domain, Request
from cputune.core.names import is_pattern
from cputune.planning.plan import Job
from cputune.runtimes.native.settings import remembered

if TYPE_CHECKING:
    from cputune.app.tuner import Tuner


def forget_job(tuner: Tuner, domain: Domain, *, live: bool) -> Job:
    """The job that removes a domain's configuration, and with `live` restores the limits from before cputune.

    Raises WrongState if there is nothing to forget, UsageError for a pattern with `live`.
    """
    if live and is_pattern(domain.name):
        raise UsageError(
            f"--live: {domain.qualified} is a pattern, but limits in force are lifted domain by domain",
            f"cputune forget '{domain.qualified}'; cputune forget DOMAIN... --live",
        )
    applied = tuner.context.current_record(domain) if live else None
    saved = tuner.store().load(domain)
    if not saved.text and not (applied and applied.change.named()):
        what = "saved or in force" if live else "saved"
        raise WrongState(f"nothing is {what} for {domain.qualified}", "cputune status --config")
    before = without_us(applied.found, remembered(tuner.cgroups, domain)) if applied else Change()
    return Job(domain, Request(before), "both" if applied else "config", forget=True)


def without_us(found: Change, known: Change) -> Change:
    """What a domain would have without cputune: what was found there, or what its runtime has set since. Pure."""
    weighed = known.shares is not None or known.weight is not None
    rest = found.replace(shares=None, weight=None) if weighed else found
    set_by_runtime = known.only(with_pair(found.named(), SHARES_AND_WEIGHT))
    return rest.replace(**set_by_runtime.named())
