"""`cputune apply`: put saved configurations, or those in a file, into force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cputune.cli.commands.output import Failures, show
from cputune.cli.options import DOMAIN, json_option, make_tuner, where_of, where_options
from cputune.core.errors import NoSuchDomain, UsageError
from cputune.core.model import Request
from cputune.core.names import is_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cputune.app.tuner import Tuner
    from cputune.core.goals import Where
    from cputune.core.model import Domain
    from cputune.planning.plan import Job

EPILOG = """\b
Try: cputune apply
     cputune apply mydom --dry-run
     cputune apply --file limits.yaml --live --config"""


@click.command(epilog=EPILOG, short_help="Put saved configurations, or those in a file, into force.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@click.option(
    "--file",
    "path",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Change what this file names instead: documents of the form of a saved one, each with its domain; - is stdin.",
)
@where_options
@click.option(
    "--started",
    is_flag=True,
    help="Only domains that were started since cputune last put something into force in them.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors of what was left alone.")
@click.option("--dry-run", is_flag=True, help="Print every write, in order; write nothing.")
@click.option(
    "--atomic/--keep-going",
    default=None,
    help="All domains or none (the default with --file); or as many as can be, with the first failure's exit status. "
    "On cgroup v1, domains that are inside one another go together.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    domains: tuple[str, ...],
    path: str | None,
    live: bool,
    config: bool,
    current: bool,
    started: bool,
    quiet: bool,
    dry_run: bool,
    atomic: bool | None,
    as_json: bool,
) -> None:
    """Put the saved configuration into force on the named domains, or on all that run and have one.

    What is in force already is left alone, so it can be called as often as one likes. With --file the values are those
    of the file, and go where `cputune set` would put them: --live, --config, or both. Where a limit stands in the way
    of another one, as between a parent and its child on cgroup v1, the order is worked out.
    """
    from cputune.app.batch import carry_out

    if path is None and (live or config or current):
        raise UsageError("--live, --config and --current are for --file: without it, saved goes to live")
    if path is not None and domains:
        raise UsageError("--file names its domains itself", "cputune apply --file FILE")
    if path is not None and started:
        raise UsageError("--started is for saved configurations, which go into force once a start")
    tuner = make_tuner(ctx)
    if quiet:
        tuner.context.say = lambda _: None
    failures = Failures(keep_going=not (path is not None if atomic is None else atomic))
    if path is not None:
        jobs = list(_from_file(tuner, failures, path, where_of(live, config, current)))
    elif domains:
        jobs = list(failures.each(domains, lambda name: tuner.saved_job(tuner.find(name))))
    else:
        jobs = [job for job in failures.each(tuner.store().names(), lambda saved: _saved(tuner, *saved)) if job]
        jobs += failures.each(_by_pattern(tuner), tuner.saved_job)
    if started:
        jobs = [job for job in jobs if not tuner.has_put(job.domain)]
    show(carry_out(tuner, jobs, failures.tell, dry_run=dry_run), dry_run=dry_run, as_json=as_json)
    ctx.exit(failures.status)


def _by_pattern(tuner: Tuner) -> Iterator[Domain]:
    """The running domains that a saved pattern fits, and no file of their own is there for. Raises CpuTuneError."""
    from cputune.runtimes import lookup

    store = tuner.store()
    names = dict(store.names())
    of = tuple(dict.fromkeys(name.partition(":")[0] for name in names if is_pattern(name)))
    for domain in lookup.domains(tuner.cgroups, of) if of else ():
        if domain.running and domain.qualified not in names and store.pattern_of(domain):
            yield domain


def _saved(tuner: Tuner, name: str, path: str) -> Job | None:
    """What a saved file wants; None where its domain is not there, or does not run. Raises CpuTuneError."""
    if is_pattern(name):
        return None
    try:
        domain = tuner.find(name)
    except NoSuchDomain:
        tuner.context.say(f"{name}: not there, skipped")
        return None
    wanted = tuner.store().path(domain)
    if path != wanted:
        raise UsageError(f"{path}: not the file of {domain.qualified}", f"it belongs in {wanted}")
    if not domain.running:
        tuner.context.say(f"{domain.qualified}: not running, skipped")
        return None
    return tuner.saved_job(domain)


def _from_file(tuner: Tuner, failures: Failures, path: str, where: Where) -> Iterator[Job]:
    from cputune.config.bundle import read_many
    from cputune.planning.plan import Job

    known: dict[str, str] = {}
    for name, change in read_many(path):
        for domain in failures.each([name], tuner.find):
            if domain.qualified in known:
                raise UsageError(f"{path}: {known[domain.qualified]} and {name} are one domain: {domain.qualified}")
            known[domain.qualified] = name
            yield Job(domain, Request(change), where)
