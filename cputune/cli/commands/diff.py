"""`cputune diff`: how the limits in force differ from those that were saved, or set through cputune."""

from __future__ import annotations

import click

from cputune.cli.options import DOMAIN, json_option, make_tuner, say
from cputune.core.errors import CpuTuneError, Exit
from cputune.core.goals import refuse_not_running
from cputune.core.model import CpuTune
from cputune.core.names import printable

EPILOG = """\b
Try: cputune diff
     cputune diff docker:web --json
     cputune diff || cputune apply"""


class NotWritten(CpuTuneError):
    """The differences could not be printed. Not exit status 1, which says that there is drift."""

    exit = Exit.USAGE


@click.command(epilog=EPILOG, short_help="Show how limits differ from what was saved or set, and why.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@json_option
@click.pass_context
def command(ctx: click.Context, domains: tuple[str, ...], as_json: bool) -> None:
    """Compare what is saved, what cputune last set, and what the kernel has now, for the named domains or all running
    ones. Each difference is a line, with its likely cause.

    The exit status is like that of diff(1): 0 if nobody but cputune has changed anything, 1 if there is drift, 2 or
    more if something could not be compared. Values that were set through cputune itself, under any name of the cgroup,
    are shown, but are no drift. Cgroups that belong to no other runtime are compared only if cputune has limited them.
    """
    from cputune.app.listing import what_is_missing
    from cputune.app.observer import Observer
    from cputune.cli import report
    from cputune.drift.compare import text

    tuner = make_tuner(ctx)
    tuner.tidy()
    for name in domains:
        refuse_not_running(tuner.find(name))
    observer = Observer(tuner)
    rows = observer.rows(domains, (), None)
    problems = [*([observer.problem] if observer.problem else [])]
    if not domains and (hidden := what_is_missing(tuner.cgroups, "diff")):
        problems.append(hidden)
    for row in rows:
        if not row.problem or row.tune == CpuTune():
            continue
        owner = row.domain.details.owner
        if domains or owner in (None, tuner.host.uid):
            problems.append(f"{row.domain.qualified}: {row.problem}")
        else:  # of a list, what a user has made odd is said, and is no reason for whoever relies on the exit status
            tuner.host.problems.add(row.domain.qualified, row.problem, owner or 0)
    for problem in problems:
        say(problem)
    found = [(row.domain.qualified, difference) for row in rows for difference in row.differences]
    if as_json:
        lines = [report.to_json([report.difference_data(name, difference) for name, difference in found])]
    else:
        lines = [printable(f"{name}: {text(difference)}") for name, difference in found]
    try:
        for line in lines:
            click.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NotWritten(f"cannot write the output: {error.strerror or error}") from error
    ctx.exit(Exit.USAGE if problems else 1 if any(difference.drift for _, difference in found) else 0)
