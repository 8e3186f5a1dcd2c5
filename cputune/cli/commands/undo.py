"""`cputune undo`: back to the state before the last change."""

from __future__ import annotations

import click

from cputune.cli.commands.output import show
from cputune.cli.options import DOMAIN, json_option, make_tuner

EPILOG = """\b
Try: cputune undo --dry-run
     cputune undo mydom"""


@click.command(epilog=EPILOG, short_help="Take back the last change, of all or of one domain.")
@click.argument("domain", required=False, type=DOMAIN, metavar="[DOMAIN]")
@click.option("--force", is_flag=True, help="Also where somebody else has changed it since.")
@click.option("--dry-run", is_flag=True, help="Print every write, in order; write nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, domain: str | None, force: bool, dry_run: bool, as_json: bool) -> None:
    """Go back to the state before the last change that cputune made, or that it made to one domain.

    Live limits, saved configuration and what the runtime remembers, as one transaction: what was changed together is
    taken back together; with DOMAIN only that domain's part. Given again, it goes one change further back. Refused,
    with exit status 6, where what was changed has another value by now. What was live in a domain that is gone, or was
    started anew, went with it: that is said, and passed over.
    """
    from cputune.app.undo import undo

    plan = undo(make_tuner(ctx), domain, force=force, dry_run=dry_run)
    show([plan], dry_run=dry_run, as_json=as_json)
