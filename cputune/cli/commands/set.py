"""`cputune set`: change the limits of domains, live or saved, as one transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cputune.cli.commands.output import Failures, show
from cputune.cli.options import (
    DOMAIN,
    json_option,
    knob_options,
    make_tuner,
    need_something,
    request_of,
    where_of,
    where_options,
)
from cputune.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cputune.core.model import Domain

EPILOG = """\b
Try: cputune set mydom --quota 50000 --live
     cputune set mydom --cpus 1.5 --live --config
     cputune set lxc:web lxc:db --shares 512 --dry-run
     cputune set web db cache --cpus 2 --keep-going"""


@click.command("set", epilog=EPILOG, short_help="Change the limits of domains: live, saved, or both.")
@click.argument("domains", nargs=-1, required=True, type=DOMAIN, metavar="DOMAIN...")
@knob_options
@where_options
@click.option(
    "--native",
    is_flag=True,
    help="Also change the limits that the runtime itself remembers, by its own command; with --live --config.",
)
@click.option("--dry-run", is_flag=True, help="Print every write, in order, and the file it goes to; write nothing.")
@click.option(
    "--atomic/--keep-going",
    default=True,
    help="Change all domains or none, which is the default; or as many as possible, with the exit status of the first "
    "failure.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    domains: tuple[str, ...],
    live: bool,
    config: bool,
    current: bool,
    native: bool,
    dry_run: bool,
    atomic: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Change the limits of domains: those in force now (--live), or the saved ones (--config).

    All parameters of all domains are one transaction: each write is read back, and if one fails, everything is rolled
    back. Parameters that are not given do not change. With --config alone, RUNTIME:NAME may be a domain that does not
    exist yet, or a pattern for many. 0 is libvirt's "no value": live it changes nothing, and in the configuration it
    removes the key.
    """
    from cputune.app.batch import carry_out
    from cputune.planning.plan import Job

    request = need_something(request_of(values))
    where = where_of(live, config, current)
    if native and not config:
        raise UsageError(
            "--native changes the limits that the runtime sets when the domain starts: give --config, too",
            "cputune set mydom --cpus 1.5 --live --config --native",
        )
    tuner = make_tuner(ctx)
    failures = Failures(keep_going=not atomic)
    find: Callable[[str], Domain] = tuner.find
    if where == "config" and not native:
        from cputune.app.importer import known_or_to_be

        find = partial(known_or_to_be, tuner)
    jobs = [Job(domain, request, where) for domain in failures.each(domains, find)]
    show(carry_out(tuner, jobs, failures.tell, dry_run=dry_run, native=native), dry_run=dry_run, as_json=as_json)
    ctx.exit(failures.status)
