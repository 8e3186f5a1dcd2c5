"""`cputune status`: the host, and every domain's limit, use, throttling and drift."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cputune.cli.options import DOMAIN, json_option, make_tuner, say
from cputune.core.errors import UsageError
from cputune.core.model import CpuTune
from cputune.core.names import printable
from cputune.runtimes.registry import RUNTIMES

if TYPE_CHECKING:
    from cputune.app.hostinfo import HostInfo
    from cputune.app.observer import Row
    from cputune.app.saved import SavedRow

EPILOG = """\b
Try: cputune status
     cputune status mydom --interval 2
     cputune status --runtime lxc --json
     cputune status --config"""


@click.command(epilog=EPILOG, short_help="Show the host and every domain: limit, use, throttling, drift.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@click.option(
    "--runtime",
    "wanted",
    multiple=True,
    type=click.Choice(tuple(RUNTIMES)),
    help="Only domains of this runtime; repeatable.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.01, 3600),
    metavar="SECONDS",
    help="Measure for this long (0.01 to 3600): CPUs used, and the share of periods that were throttled.",
)
@click.option(
    "--config", is_flag=True, help="List the saved configurations instead, even of domains that do not exist."
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    domains: tuple[str, ...],
    wanted: tuple[str, ...],
    interval: float | None,
    config: bool,
    as_json: bool,
) -> None:
    """Show the host and all domains of all runtimes, or everything that is known about the named domains.

    LIMIT is the domain's own limit in CPUs. EFFECTIVE is what it can use: if an ancestor's limit is lower, that limit,
    with the ancestor's name. CONFIG is what is saved for the domain. DRIFT says where the limits in force differ from
    that, or from what cputune last set.
    """
    from cputune.app.hostinfo import host_info
    from cputune.app.listing import what_is_missing
    from cputune.app.observer import Observer
    from cputune.app.saved import saved_rows
    from cputune.cli import status_report as report

    tuner = make_tuner(ctx)
    tuner.tidy()
    if config:
        if domains or interval is not None:
            raise UsageError(
                "--config lists all saved configurations: it takes neither DOMAIN nor --interval",
                "cputune status --config --runtime docker",
            )
        _saved(saved_rows(tuner, tuner.store(), wanted), as_json=as_json)
        return
    observer = Observer(tuner)
    host, rows = host_info(tuner.context), observer.rows(domains, wanted, interval)
    if as_json:
        from cputune.cli.report import to_json

        click.echo(to_json({"host": report.host_data(host), "domains": [report.row_data(row) for row in rows]}))
    elif domains:
        click.echo("\n\n".join("\n".join(map(printable, report.details(row))) for row in rows))
    else:
        _overview(host, rows, sampled=interval is not None)
    if observer.problem:
        say(observer.problem)
    if not domains and (hidden := what_is_missing(tuner.cgroups, "status")):
        say(hidden)
    for row in rows:
        if row.problem and row.tune != CpuTune():
            say(f"{row.domain.qualified}: {row.problem}")


def _saved(rows: list[SavedRow], *, as_json: bool) -> None:
    from cputune.cli import status_report as report

    if as_json:
        from cputune.cli.report import to_json

        click.echo(to_json([report.saved_data(row) for row in rows]))
    elif rows:
        _table(report.SAVED_HEADER, [[printable(cell) for cell in report.saved_cells(row)] for row in rows])
    else:
        say("nothing is saved")
    for row in rows:
        if row.problem:
            say(row.problem)


def _table(header: list[str], cells: list[list[str]]) -> None:
    if sys.stdout.isatty():
        from cputune.cli import table

        table.show(header, cells)
    else:
        from cputune.cli import status_report as report

        click.echo("\n".join(report.columns([header, *cells])))


def _overview(host: HostInfo, rows: list[Row], *, sampled: bool) -> None:
    from cputune.cli import status_report as report

    click.echo(report.host_line(host))
    if not rows:
        say("no domains")
        return
    header = report.header(sampled=sampled)
    _table(header, [[printable(cell) for cell in report.cells(row, sampled=sampled)] for row in rows])
