"""`cputune undo`: go back to the state before the last change."""

from __future__ import annotations

import click

from cputune.cli.commands.output import show
from cputune.cli.options import DOMAIN, json_option, make_tuner

EPILOG = """\b
Try: cputune undo --dry-run
     cputune undo mydom"""


@click.command(epilog=EPILOG, short_help="Undo the last change, of all domains or of one.")
@click.argument("domain", required=False, type=DOMAIN, metavar="[DOMAIN]")
@click.option("--force", is_flag=True, help="Undo even what others have changed since.")
@click.option("--dry-run", is_flag=True, help="Print every write, in order; write nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, domain: str | None, force: bool, dry_run: bool, as_json: bool) -> None:
    """Go back to the state before the last change made through cputune, or before the last one to a single domain.

    Live limits, saved configurations and what runtimes remember are one transaction: what was changed together is
    undone together, or with DOMAIN, only that domain's part of it. Each further undo goes one more change back. It is
    refused, with exit status 6, if a value has been changed by others since. Live limits of a domain that has stopped
    or restarted since are gone already: they are skipped, which is mentioned.
    """
    from cputune.app.undo import undo

    plan = undo(make_tuner(ctx), domain, force=force, dry_run=dry_run)
    show([plan], dry_run=dry_run, as_json=as_json)
