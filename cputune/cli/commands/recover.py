"""`cputune recover`: roll back the changes of a cputune process that was killed."""

from __future__ import annotations

import click

from cputune.cli.options import make_tuner, say

EPILOG = """\b
Try: cputune recover"""


@click.command(epilog=EPILOG, short_help="Roll back the unfinished changes of a cputune that was killed.")
@click.option("--discard", is_flag=True, help="Give up what cannot be rolled back, and say what is left.")
@click.pass_context
def command(ctx: click.Context, discard: bool) -> None:
    """Roll back every change that was interrupted because cputune was killed or the power failed.

    Other commands do the same before they change or show anything. Changes that a running cputune is still making are
    left to it. The exit status is 8 if something could not be rolled back; that is tried again each time. If it cannot
    be rolled back because what cputune had noted of it is damaged, the exit status is 8 as well, once: the damaged file
    is moved aside, so that later calls and other commands do not find it.
    """
    from cputune.cli.main import tell
    from cputune.transaction.recovery import pending, recover

    tuner = make_tuner(ctx)
    if not pending(tuner.context):
        say("nothing to put back")
    statuses = [tell(error) for error in recover(tuner.context, discard=discard).values()]
    ctx.exit(max(statuses, default=0))
