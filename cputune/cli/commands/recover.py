"""`cputune recover`: put back what a killed cputune had begun."""

from __future__ import annotations

import click

from cputune.cli.options import make_tuner, say

EPILOG = """\b
Try: cputune recover"""


@click.command(epilog=EPILOG, short_help="Put back what a killed cputune had begun.")
@click.option("--discard", is_flag=True, help="Give up on what cannot be put back, and say what is left.")
@click.pass_context
def command(ctx: click.Context, discard: bool) -> None:
    """Put back every change that was cut off: its cputune was killed, or the power failed.

    Each other cputune does this too before it changes something, or shows it. What another one still works on is left
    to it. The exit status is 8 where something could not be put back: it will be tried again each time.
    """
    from cputune.cli.main import tell
    from cputune.transaction.recovery import pending, recover

    tuner = make_tuner(ctx)
    if not pending(tuner.context):
        say("nothing to put back")
    statuses = [tell(error) for error in recover(tuner.context, discard=discard).values()]
    ctx.exit(max(statuses, default=0))
