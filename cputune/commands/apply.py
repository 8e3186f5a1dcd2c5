"""`cputune apply`: put saved configurations into force."""

from __future__ import annotations

import click

from cputune.commands.output import show, warn
from cputune.errors import CpuTuneError, NoSuchDomain, UsageError
from cputune.names import printable
from cputune.params import DOMAIN, json_option, make_tuner

EPILOG = """\b
Try: cputune apply
     cputune apply mydom --dry-run"""


@click.command(epilog=EPILOG, short_help="Put the saved configuration into force on running domains.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@click.option("--dry-run", is_flag=True, help="Print every write, in order; write nothing.")
@json_option
@click.pass_context
def command(ctx: click.Context, domains: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Put the saved configuration into force on the named domains, or on all that run and have one.

    One transaction a domain. One that fails does not stop the others; the exit status is then that of the first
    failure. What is in force already is left alone, so it can be called as often as one likes.
    """
    from cputune.cli import tell

    tuner = make_tuner(ctx.find_root().params)
    named: list[tuple[str, str | None]] = [(name, None) for name in domains]
    outcomes, status = [], 0
    for name, path in named or tuner.store().names():
        try:
            domain = tuner.find(name)
            wanted = tuner.store().path(domain)
            if path not in (None, wanted):
                raise UsageError(f"{path}: not the file of {domain.qualified}", f"it belongs in {wanted}")
            if not domain.running and not domains:
                click.echo(f"cputune: {printable(domain.qualified)}: not running, skipped", err=True)
                continue
            outcomes.append(tuner.apply(domain, dry_run=dry_run, announce=warn))
        except NoSuchDomain as error:
            if domains:
                status = status or tell(error)
            else:
                click.echo(f"cputune: {printable(name)}: not there, skipped", err=True)
        except CpuTuneError as error:
            status = status or tell(error)
    show(outcomes, dry_run=dry_run, as_json=as_json)
    ctx.exit(status)
