"""`cputune hook`: limit containers before their first instruction, by the hooks that runtimes have."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click

from cputune.cli.options import make_tuner
from cputune.core.errors import CpuTuneError, Interrupted, UsageError, without_text
from cputune.guard import hooks

_SECONDS = 10.0
"""Seconds after which a called hook is interrupted, and as many after which it exits: the container waits for it."""
EPILOG = """\b
Try: cputune hook install podman
     cputune hook install systemd nginx.service
     cputune hook install crun /srv/bundles/web
     cputune hook show
     cputune hook remove lxc"""


@click.command(
    epilog=EPILOG,
    context_settings={"ignore_unknown_options": True},  # the name of a domain may begin with a dash
    short_help="Have runtimes call cputune before a container's first instruction.",
)
@click.argument("action", type=click.Choice(("install", "remove", "show", "run")), metavar="ACTION")
@click.argument("runtime", type=click.Choice(hooks.RUNTIMES), required=False, metavar="[RUNTIME]")
@click.argument("names", nargs=-1, type=click.UNPROCESSED, metavar="[NAME]...")
@click.pass_context
def command(ctx: click.Context, action: str, runtime: str | None, names: tuple[str, ...]) -> None:
    """Have a runtime call cputune when it starts a container, to apply what is saved for it before it runs. The guard
    cannot be as early: it notices a container when that has started. A container starts even if its hook fails.

    ACTION is install; remove; show, which lists the installed hooks, or with a RUNTIME shows what install would put
    into which files; or run, which is what the runtimes call. RUNTIME is podman (a hook for all its containers),
    libvirt (the same), lxc (a line in the configuration of the named containers, or of all and of new ones), systemd (a
    drop-in for the named services), runc or crun (an entry in the config.json of the named bundles). What belongs to a
    user is not edited by root: run it as that user.
    """
    if action == "run":
        _run(ctx, runtime or "", names)
        return
    from cputune.guard.hooks import installer

    host = make_tuner(ctx).host
    if runtime is None:
        if action != "show":
            raise UsageError(f"cputune hook {action} needs a RUNTIME", f"one of: {', '.join(hooks.RUNTIMES)}")
        for line in installer.overview(host):
            click.echo(line)
        return
    work = {"install": installer.install, "remove": installer.remove, "show": installer.show}[action]
    for line in work(host, runtime, names, _folders(ctx)):
        click.echo(line)


def _folders(ctx: click.Context) -> tuple[str, ...]:
    """Return the options for cputune's directories, as they were given: the hook has to use the same directories."""
    given = ctx.find_root().params
    names = ("config_dir", "state_dir", "data_dir")
    return tuple(f"--{name.replace('_', '-')}={os.path.abspath(given[name])}" for name in names if given.get(name))


def _run(ctx: click.Context, runtime: str, arguments: tuple[str, ...]) -> None:
    from cputune.guard.hooks.handler import handle, own_environment
    from cputune.guard.service import ERROR, Log

    log = Log()
    tuner = make_tuner(ctx)
    tuner.context.say = lambda _: None
    _limit_time()
    try:
        handle(tuner, runtime, arguments, own_environment(), _stdin)
    except CpuTuneError as error:  # exit status 0 all the same, so that the container starts
        log(ERROR, f"hook run {runtime}: {error.message}", action="failed")
    except (Exception, Interrupted) as error:
        log(ERROR, f"hook run {runtime}: {without_text(error)}", action="failed")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stdin() -> str:
    """Return what the runtime says, at most 1 MiB of it; nothing if it has closed the standard input."""
    return "" if sys.stdin is None else sys.stdin.buffer.read(1 << 20).decode("utf-8", "surrogateescape")


def _limit_time() -> None:
    """Limit the time that the container has to wait: roll back what takes too long, and exit if even that does."""

    def too_long(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        raise Interrupted(number)

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS, _SECONDS)
