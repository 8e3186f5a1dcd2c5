"""`cputune apply`: apply saved configurations, or those in a file."""

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


@click.command(epilog=EPILOG, short_help="Apply saved configurations, or those in a file.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@click.option(
    "--file",
    "path",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Apply the YAML documents in FILE instead, written like saved configurations, each with its domain; "
    "- is stdin.",
)
@where_options
@click.option(
    "--started",
    is_flag=True,
    help="Only domains that have started since cputune last changed their limits.",
)
@click.option(
    "--quiet", "-q", is_flag=True, help="Print no notes, such as which domains were skipped; errors are still printed."
)
@click.option("--dry-run", is_flag=True, help="Print every write, in order; write nothing.")
@click.option(
    "--atomic/--keep-going",
    default=None,
    help="Change all domains or none (the default with --file); or as many as possible, with the exit status of the "
    "first failure. On cgroup v1, nested domains are changed together.",
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
    """Apply the saved configurations of the named domains, or of all running domains that have one.

    Limits that are in force already are not written again, so it can be run any number of times. With --file, the
    values are those in the file, and change what `cputune set` would change: --live, --config, or both. Where one limit
    has to be written before another, as with parent and child on cgroup v1, cputune finds the order.
    """
    from cputune.app.batch import carry_out

    if path is None and (live or config or current):
        raise UsageError("--live, --config and --current need --file: saved configurations are always applied live")
    if path is not None and domains:
        raise UsageError(
            "--file and DOMAIN are mutually exclusive: the file names its domains", "cputune apply --file FILE"
        )
    if path is not None and started:
        raise UsageError("--file and --started are mutually exclusive: --started is about saved configurations")
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
        jobs = [job for job in jobs if not tuner.context.current_record(job.domain)]
    show(carry_out(tuner, jobs, failures.tell, dry_run=dry_run), dry_run=dry_run, as_json=as_json)
    ctx.exit(failures.status)


def _by_pattern(tuner: Tuner) -> Iterator[Domain]:
    """List the running domains whose configuration is that of a pattern. Raises CpuTuneError."""
    from cputune.runtimes import lookup

    store = tuner.store()
    names = dict(store.names())
    runtimes = tuple(dict.fromkeys(name.partition(":")[0] for name in names if is_pattern(name)))
    for domain in lookup.domains(tuner.cgroups, runtimes) if runtimes else ():
        if domain.running and domain.qualified not in names and store.pattern_of(domain):
            yield domain


def _saved(tuner: Tuner, name: str, path: str) -> Job | None:
    """Return the job of a saved file; None if its domain does not exist or is not running. Raises CpuTuneError."""
    if is_pattern(name):
        return None
    try:
        domain = tuner.find(name)
    except NoSuchDomain:
        tuner.context.say(f"{name}: no such domain, skipped")
        return None
    expected = tuner.store().path(domain)
    if path != expected:
        raise UsageError(f"{path} is not the configuration file of {domain.qualified}", f"that is {expected}")
    if not domain.running:
        tuner.context.say(f"{domain.qualified}: not running, skipped")
        return None
    return tuner.saved_job(domain)


def _from_file(tuner: Tuner, failures: Failures, path: str, where: Where) -> Iterator[Job]:
    """Read the documents of a file, and find their domains. Raises UsageError."""
    from cputune.config.bundle import read_many
    from cputune.planning.plan import Job

    known: dict[str, str] = {}
    for name, change in read_many(path):
        for domain in failures.each([name], tuner.find):
            if domain.qualified in known:
                raise UsageError(
                    f"{path}: {known[domain.qualified]} and {name} are the same domain, {domain.qualified}"
                )
            known[domain.qualified] = name
            yield Job(domain, Request(change), where)
