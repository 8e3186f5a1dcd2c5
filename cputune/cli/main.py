"""The command line: the click group, which imports a command when it is called, and errors as exit statuses."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click

from cputune import __version__
from cputune.core.errors import CpuTuneError, Exit, Interrupted, UsageError, without_text
from cputune.runtimes.registry import RUNTIMES

COMMANDS = (
    "set", "schedinfo", "status", "run", "apply", "diff", "guard", "hook", "forget", "export", "import",
    "history", "undo", "recover",
)  # fmt: skip
"""In the order of the manual."""


class LazyGroup(click.Group):
    """Imports the module of a command when the command is needed, so that scripts pay only for what they call."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the manual."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module = "import_" if cmd_name == "import" else cmd_name  # import is a keyword
        command: click.Command = import_module(f"cputune.cli.commands.{module}").command
        return command


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"cputune {__version__}")
        ctx.exit()


HELP = f"""Cap, weigh and explain the CPU time of any Linux container.

A DOMAIN is one container, unit or cgroup, written RUNTIME:NAME, or just NAME where only one runtime knows it.
Runtimes: {", ".join(RUNTIMES)}.
"""


@click.group(
    cls=LazyGroup,
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTry: cputune status",
)
@click.option(
    "--root", metavar="DIR", envvar="CPUTUNE_ROOT", help="Where the host's file system is mounted. [CPUTUNE_ROOT]"
)
@click.option(
    "--config-dir",
    metavar="DIR",
    envvar="CPUTUNE_CONFIG_DIR",
    help="Directory of the saved configurations. [CPUTUNE_CONFIG_DIR; /etc/cputune]",
)
@click.option(
    "--state-dir",
    metavar="DIR",
    envvar="CPUTUNE_STATE_DIR",
    help="Directory of what is kept until the next boot. [CPUTUNE_STATE_DIR; /run/cputune]",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    envvar="CPUTUNE_DATA_DIR",
    help="Directory of what is kept across boots, such as the history. [CPUTUNE_DATA_DIR; /var/lib/cputune]",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def cli(
    ctx: click.Context, root: str | None, config_dir: str | None, state_dir: str | None, data_dir: str | None
) -> None:
    """The command line."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


def catch_signals() -> None:
    """Have SIGTERM and SIGHUP raise Interrupted, so that a change is rolled back before the command ends."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # Unless it is ignored: nohup must keep working.
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, _interrupt)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status. Errors go to stderr; all output has been flushed."""
    if signals := sys.modules.get("cputune.transaction.signals"):
        signals.all_done(False)
    try:
        status = cli.main(arguments, prog_name="cputune", standalone_mode=False, obj=arguments)
        if sys.stdout is not None:  # as when started with a closed stdout
            sys.stdout.flush()
        return status if isinstance(status, int) else Exit.DONE
    except Interrupted as error:
        return _interrupted(error)
    except CpuTuneError as error:
        return tell(error)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "cputune"
        return tell(UsageError(" ".join(error.format_message().rstrip(".").split()), f"{command} --help"))
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(Interrupted(signal.SIGINT))
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except SystemExit as end:
        # click exits by itself: with 1 after EPIPE, with 0 after printing completions.
        return 128 + signal.SIGPIPE if end.code == 1 else Exit.DONE
    except OSError as error:
        # The core turns its own into CpuTuneErrors, so this one is about our output.
        done = "; the change itself was made" if _too_late() else ""
        return tell(CpuTuneError(f"cannot write the output: {error.strerror or error}{done}"))
    except Exception as error:
        if os.environ.get("CPUTUNE_DEBUG"):
            raise
        return tell(
            CpuTuneError(
                f"unexpected {without_text(error)}",
                "report it, with the traceback that CPUTUNE_DEBUG=1 prints",
            )
        )


def _interrupted(error: Interrupted) -> int:
    """Return the exit status after a signal: success if it came when the change had been made already."""
    if not _too_late():
        return tell(error)
    click.echo(f"cputune: {error.message}, after the change was made", err=True)
    return Exit.DONE


def _too_late() -> bool:
    """Whether the change had been made when the signal or error came."""
    signals = sys.modules.get("cputune.transaction.signals")  # imported by commands that change something
    return signals is not None and signals.came_too_late()


def tell(error: CpuTuneError | Interrupted) -> int:
    """Print an error and its hint on stderr, and return its exit status."""
    from cputune.core.names import printable

    click.echo(f"cputune: error: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(f"hint: {printable(error.hint)}", err=True)
    return 128 + error.signum if isinstance(error, Interrupted) else error.exit


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)
