"""`cputune schedinfo`: show parameters, or set them, as `virsh schedinfo` does, for every runtime."""

from __future__ import annotations

import click

from cputune.cli.options import (
    DOMAIN,
    json_option,
    make_tuner,
    request_from_texts,
    where_of,
    where_options,
)
from cputune.core.errors import UsageError
from cputune.core.knobs import KNOBS
from cputune.core.model import Request

EPILOG = """\b
Try: cputune schedinfo mydom
     cputune schedinfo mydom --config --json
     cputune schedinfo mydom --set vcpu_quota=50000 --set cpu_shares=512"""


@click.command(epilog=EPILOG, short_help="Show (or set) a domain's parameters as virsh schedinfo does.")
@click.argument("domain", type=DOMAIN)
@click.argument("assignments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--set", "assigned", multiple=True, metavar="NAME=VALUE", help="Set a parameter by virsh's name; repeatable."
)
@where_options
@click.option("--all", "everything", is_flag=True, help="Also show the weight, the burst and idle.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    domain: str,
    assignments: tuple[str, ...],
    assigned: tuple[str, ...],
    live: bool,
    config: bool,
    current: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Show a domain's scheduler parameters in the format of `virsh schedinfo`.

    Times are in microseconds; a vcpu_quota of -1 means no limit. If CFS bandwidth is not supported for the domain, only
    cpu_shares is shown. With NAME=VALUE, the parameters (cpu_shares, vcpu_period, vcpu_quota; cpu_weight, vcpu_burst,
    cpu_idle) are set first, as by `cputune set`.
    """
    from cputune.app.schedinfo import schedinfo
    from cputune.cli import report

    where = where_of(live, config, current)
    tuner = make_tuner(ctx)
    request = assignments_of((*assigned, *assignments))
    if request is not None:
        from cputune.planning.plan import Job

        tuner.change([Job(tuner.find(domain), request, where)])
        where = "live" if where == "both" else where
    else:
        tuner.tidy()
    info = schedinfo(tuner, domain, where)
    if as_json:
        click.echo(report.to_json(report.schedinfo_data(info, everything=everything)))
    else:
        click.echo(report.schedinfo(info, everything=everything))


def assignments_of(texts: tuple[str, ...]) -> Request | None:
    """Parse NAME=VALUE arguments; returns None if there are none. Raises UsageError, worded as by virsh."""
    keys = {knob.virsh: knob.key for knob in KNOBS if knob.virsh}
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"invalid syntax for --set, expecting name=value: {text}",
                "cputune schedinfo mydom --set cpu_shares=512",
            )
        if name not in keys:
            raise UsageError(f"invalid scheduler option: {name}", f"known: {', '.join(keys)}")
        values[keys[name]] = value
    return request_from_texts(values, {key: name for name, key in keys.items()}) if values else None
