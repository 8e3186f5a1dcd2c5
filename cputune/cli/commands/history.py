"""`cputune history`: who changed what, and when."""

from __future__ import annotations

import click

from cputune.cli.options import DOMAIN, json_option, make_tuner
from cputune.core.names import printable

EPILOG = """\b
Try: cputune history
     cputune history mydom --last 5"""


@click.command(epilog=EPILOG, short_help="Show who changed what, and when.")
@click.argument("domain", required=False, type=DOMAIN, metavar="[DOMAIN]")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N changes.")
@json_option
@click.pass_context
def command(ctx: click.Context, domain: str | None, last: int | None, as_json: bool) -> None:
    """Show the changes made through cputune, the oldest first: when, by whom, with which command, the values before and
    after.

    Of all domains or of one, which need not exist any more. Changes that were undone, that were rolled back because
    cputune was killed, or that ended with their domain are marked. Changes are kept for a year, unless there are very
    many: cputune(1).
    """
    from cputune.app.undo import name_in_history
    from cputune.cli import report

    tuner = make_tuner(ctx)
    tuner.tidy()
    name = None if domain is None else name_in_history(tuner, domain)
    past = tuner.history(name, last)
    if as_json:
        click.echo(report.to_json([report.past_data(one, name) for one in past]))
        return
    for line in (line for one in past for line in report.past_lines(one, name)):
        click.echo(printable(line))
