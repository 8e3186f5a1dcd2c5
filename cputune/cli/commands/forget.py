"""`cputune forget`: remove what is saved for a domain, and on request the limits in force."""

from __future__ import annotations

import click

from cputune.cli.commands.output import Failures, show
from cputune.cli.options import DOMAIN, json_option, make_tuner

EPILOG = """\b
Try: cputune forget docker:web
     cputune forget docker:web --live
     cputune forget 'docker:web-*' --dry-run"""


@click.command(epilog=EPILOG, short_help="Remove saved configurations; with --live, also the limits in force.")
@click.argument("domains", nargs=-1, required=True, type=DOMAIN, metavar="DOMAIN...")
@click.option(
    "--live",
    is_flag=True,
    help="Also restore the limits from before cputune first changed them, or those that the runtime has set.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, in order; change nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, domains: tuple[str, ...], live: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the saved configurations of domains, as one transaction. The domains need not exist any more.

    Limits that are in force stay until the domain stops, unless --live is given. `cputune undo` reverts it.
    """
    from cputune.app.batch import carry_out
    from cputune.app.forget import forget_job
    from cputune.app.importer import known_or_saved

    tuner = make_tuner(ctx)
    failures = Failures(keep_going=False)
    jobs = [forget_job(tuner, known_or_saved(tuner, name), live=live) for name in domains]
    show(carry_out(tuner, jobs, failures.tell, dry_run=dry_run), dry_run=dry_run, as_json=as_json)
