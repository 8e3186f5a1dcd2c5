"""`cputune forget`: have nothing to do with a domain any more."""

from __future__ import annotations

import click

from cputune.cli.commands.output import Failures, show
from cputune.cli.options import DOMAIN, json_option, make_tuner

EPILOG = """\b
Try: cputune forget docker:web
     cputune forget docker:web --live
     cputune forget 'docker:web-*' --dry-run"""


@click.command(epilog=EPILOG, short_help="Remove what is saved for domains; with --live, lift what was set.")
@click.argument("domains", nargs=-1, required=True, type=DOMAIN, metavar="DOMAIN...")
@click.option(
    "--live",
    is_flag=True,
    help="Also put back what was in force before cputune first changed it, or what the runtime has set for it.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, in order; do nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, domains: tuple[str, ...], live: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the saved configurations of domains, as one transaction. A domain need not be there any more.

    What is in force stays in force until the domain ends, unless --live is given. cputune undo takes it back.
    """
    from cputune.app.batch import carry_out
    from cputune.app.forget import forget_job
    from cputune.app.importer import known_or_saved

    tuner = make_tuner(ctx)
    failures = Failures(keep_going=False)
    jobs = [forget_job(tuner, known_or_saved(tuner, name), live=live) for name in domains]
    show(carry_out(tuner, jobs, failures.tell, dry_run=dry_run), dry_run=dry_run, as_json=as_json)
