"""What commands print of a change: notes on stderr before it is made, what was done on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cputune.names import printable

if TYPE_CHECKING:
    from cputune.planner import Outcome


def warn(outcomes: list[Outcome]) -> None:
    """Print on stderr what somebody should know of a change, before it is made."""
    for outcome in outcomes:
        for note in outcome.notes:
            click.echo(f"cputune: {printable(note)}", err=True)


def show(outcomes: list[Outcome], *, dry_run: bool, as_json: bool) -> None:
    """Print what was done, or would be."""
    from cputune import report

    if as_json:
        click.echo(report.to_json([report.outcome_data(outcome) for outcome in outcomes]))
        return
    for outcome in outcomes:
        tasks = (*outcome.tasks, *outcome.natives) if dry_run else ()
        lines = [line for task in tasks for line in report.step(task)]
        for line in lines or [report.moved(outcome.domain, change) for change in outcome.moved]:
            click.echo(printable(line))
