"""What the commands that change something have in common: their output, and how they handle failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from cputune.core.errors import CpuTuneError
from cputune.core.names import printable

if TYPE_CHECKING:
    from cputune.planning.plan import Plan

Item = TypeVar("Item")
T = TypeVar("T")


class Failures:
    """The failures of a command on many domains: the first one ends it, unless it is to keep going.

    When it keeps going, each error is printed, and the exit status is that of the first.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self.status = 0
        self.tell = self._tell if keep_going else None

    def _tell(self, error: CpuTuneError) -> None:
        from cputune.cli.main import tell

        status = tell(error)
        self.status = self.status or status

    def each(self, items: Iterable[Item], function: Callable[[Item], T]) -> Iterator[T]:
        """Yield the function's results, without those of failures. Raises CpuTuneError unless it is to keep going."""
        for item in items:
            try:
                yield function(item)
            except CpuTuneError as error:
                if self.tell is None:
                    raise
                self.tell(error)


def show(plans: list[Plan], *, dry_run: bool, as_json: bool) -> None:
    """Print the changes that were made; with `dry_run`, all the steps that would be taken."""
    from cputune.cli import report

    outcomes = [outcome for plan in plans for outcome in plan.outcomes]
    if as_json:
        click.echo(report.to_json([report.outcome_data(outcome) for outcome in outcomes]))
        return
    if dry_run:
        lines = [line for plan in plans for task in plan.tasks for line in report.step_lines(task)]
    else:
        lines = [report.change_line(change, outcome.domain.scale) for outcome in outcomes for change in outcome.changes]
    for line in lines:
        click.echo(printable(line))
