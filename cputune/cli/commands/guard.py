"""`cputune guard`: saved configurations in force from the start of their domains, and kept."""

from __future__ import annotations

import click

from cputune.cli.options import make_tuner
from cputune.core.errors import UsageError

EPILOG = """\b
Try: cputune guard --enforce
     cputune guard install --enforce
     cputune guard install --timer
     cputune guard remove"""


@click.command(epilog=EPILOG, short_help="Put what is saved into force where domains start, and keep it.")
@click.argument("action", type=click.Choice(("run", "install", "remove")), default="run", metavar="[ACTION]")
@click.option("--enforce", is_flag=True, help="Put back what somebody else changes; without it, only report it.")
@click.option(
    "--timer",
    is_flag=True,
    help="With install or remove: no guard that runs all the time, but cputune apply once a minute.",
)
@click.pass_context
def command(ctx: click.Context, action: str, enforce: bool, timer: bool) -> None:
    """Watch the cgroup tree by the kernel's events, and put a domain's saved configuration into force when it starts.

    What is changed later by anybody but cputune is reported with its likely cause, and with --enforce put back: not
    for ever, but until the same has come again more than 3 times within 60 seconds. Changes made through cputune are
    kept. SIGHUP reads everything anew.

    ACTION is run, which is the default, install, which makes a service of it (a unit of systemd's, started at boot
    before the container runtimes), or remove, which takes that away.
    """
    if action == "run":
        if timer:
            raise UsageError("--timer is for install and remove", "cputune guard install --timer")
        _run(ctx, enforce=enforce)
        return
    from cputune.guard import unit

    if timer and enforce:
        raise UsageError("--timer and --enforce exclude each other: what the timer starts puts nothing back")
    host = make_tuner(ctx).host
    for line in unit.install(host, enforce=enforce, timer=timer) if action == "install" else unit.remove(host):
        click.echo(line)


def _run(ctx: click.Context, *, enforce: bool) -> None:
    from cputune.guard.dispatcher import Dispatcher
    from cputune.guard.loop import Loop
    from cputune.guard.service import INFO, Log

    log = Log()
    tuner = make_tuner(ctx)
    # What it did it logs itself; what there is to know besides is told.
    tuner.context.say = lambda text: None if ": nothing to do: " in text else log(INFO, text)
    Loop(Dispatcher(tuner, log, enforce=enforce)).run()
