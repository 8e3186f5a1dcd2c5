"""`cputune import`: save the configurations that `cputune export` printed."""

from __future__ import annotations

import click

from cputune.cli.commands.output import show
from cputune.cli.options import json_option, make_tuner

EPILOG = """\b
Try: cputune import limits.yaml --dry-run
     cputune import --replace -"""


@click.command("import", epilog=EPILOG, short_help="Save the configurations that cputune export printed.")
@click.argument("path", type=click.Path(allow_dash=True), metavar="FILE")
@click.option("--replace", is_flag=True, help="Replace other configurations that are already saved.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, in order; change nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, path: str, replace: bool, dry_run: bool, as_json: bool) -> None:
    """Save all configurations in FILE: YAML documents like those that are saved, each with its domain; - is stdin.

    All of them or none, as one transaction. The domains need not exist: their limits are applied when they start, or
    with `cputune apply`. Configurations of other domains are not changed.
    """
    from cputune.app.importer import save_all
    from cputune.config.bundle import read_documents

    tuner = make_tuner(ctx)
    plan = save_all(tuner, read_documents(path), replace=replace, dry_run=dry_run)
    show([plan], dry_run=dry_run, as_json=as_json)
