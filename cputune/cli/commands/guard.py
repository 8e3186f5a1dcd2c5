"""`cputune guard`: apply saved configurations when domains start, and keep them in force."""

from __future__ import annotations

import click

from cputune.cli.options import make_tuner
from cputune.core.errors import UsageError

EPILOG = """\b
Try: cputune guard --enforce
     cputune guard install --enforce
     cputune guard install --timer
     cputune guard remove"""


@click.command(epilog=EPILOG, short_help="Apply saved configurations when domains start, and keep them in force.")
@click.argument("action", type=click.Choice(("run", "install", "remove")), default="run", metavar="[ACTION]")
@click.option("--enforce", is_flag=True, help="Undo changes that others make; without it, only report them.")
@click.option(
    "--timer",
    is_flag=True,
    help="With install: no permanently running guard, but a timer that runs cputune apply once a minute.",
)
@click.pass_context
def command(ctx: click.Context, action: str, enforce: bool, timer: bool) -> None:
    """Watch the cgroup tree, and apply the saved configuration of a domain when it starts.

    Changes that others make to limits set by cputune are reported with their likely cause, and undone with --enforce.
    If the same program makes a change more than 3 times within 60 seconds, the domain is left alone. Changes made
    through cputune are kept. On SIGHUP, the guard reads everything again.

    ACTION is run, which is the default; install, which installs the guard as a systemd service, started at boot before
    the container runtimes; or remove, which uninstalls it.
    """
    if action == "run":
        if timer:
            raise UsageError("--timer is for install and remove", "cputune guard install --timer")
        _run(ctx, enforce=enforce)
        return
    from cputune.guard import unit

    if timer and enforce:
        raise UsageError("--timer and --enforce are mutually exclusive: the timer's cputune apply undoes no changes")
    host = make_tuner(ctx).host
    for line in unit.install(host, enforce=enforce, timer=timer) if action == "install" else unit.remove(host):
        click.echo(line)


def _run(ctx: click.Context, *, enforce: bool) -> None:
    from cputune.guard.dispatcher import Dispatcher
    from cputune.guard.loop import Loop
    from cputune.guard.service import INFO, Log

    log = Log()
    tuner = make_tuner(ctx)
    # The guard logs its changes itself; of the core's notes, those about changes that were not needed are noise.
    tuner.context.say = lambda text: None if ": nothing to do: " in text else log(INFO, text)
    Loop(Dispatcher(tuner, log, enforce=enforce)).run()
