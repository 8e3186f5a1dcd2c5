"""`cputune import`: save what `cputune export` printed."""

from __future__ import annotations

import click

from cputune.cli.commands.output import show
from cputune.cli.options import json_option, make_tuner

EPILOG = """\b
Try: cputune import limits.yaml --dry-run
     cputune import --replace -"""


@click.command("import", epilog=EPILOG, short_help="Save the configurations in a file of cputune export's.")
@click.argument("path", type=click.Path(allow_dash=True), metavar="FILE")
@click.option("--replace", is_flag=True, help="Also where something else is saved for a domain already.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, in order; do nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, path: str, replace: bool, dry_run: bool, as_json: bool) -> None:
    """Save all configurations in FILE, documents of the form of a saved one, each with its domain; - is stdin.

    All or none, as one transaction. The domains need not be there: what is saved goes into force at their start, or
    with cputune apply. What is saved for others stays.
    """
    from cputune.app.importer import save_all
    from cputune.config.bundle import read_documents

    tuner = make_tuner(ctx)
    plan = save_all(tuner, read_documents(path), replace=replace, dry_run=dry_run)
    show([plan], dry_run=dry_run, as_json=as_json)
