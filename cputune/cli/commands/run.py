"""`cputune run`: a command as a domain of its own, limited from its first instruction."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from cputune.cli.options import knob_options, make_tuner, request_of, say
from cputune.core.errors import CpuTuneError, UsageError, WrongState, from_os_error
from cputune.core.names import check, is_component, printable
from cputune.transaction.locks import Keys

if TYPE_CHECKING:
    from cputune.app.launcher import Command, CommandCgroup
    from cputune.app.tuner import Tuner
    from cputune.core.model import CpuTune, Request, Stats

EPILOG = """\b
Try: cputune run --name build --cpus 1.5 -- make -j8
     cputune run --name busy --cpus 0.25 -- timeout 4 yes >/dev/null
     cputune set run:build --cpus 0.5      # from another terminal"""


@click.command(
    "run",
    epilog=EPILOG,
    short_help="Run a command in a limited cgroup of its own.",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@click.option("--name", metavar="NAME", help="The domain's name, run:NAME. [the program's name and a number]")
@knob_options
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
@click.pass_context
def command(ctx: click.Context, /, name: str | None, words: tuple[str, ...], **values: Any) -> None:
    """Run a command in a cgroup of its own, limited before its first instruction.

    The cgroup is a transient scope of systemd's, or where systemd is not PID 1 a directory that cputune makes and
    removes. Signals are passed on to the command. At its end, stderr tells what it used and how much it was held
    back. The exit status is the command's own; 128 + N where signal N ended it, 127 where it was not found, 126
    where it could not be executed.
    """
    request = request_of(values)
    tuner = make_tuner(ctx)
    name = check(name if name is not None else f"{os.path.basename(words[0])}-{os.getpid()}")
    if not is_component(name):
        raise UsageError(f"--name: {printable(name)} cannot be a name: it has a slash, or is too long")
    ctx.exit(_run(tuner, name, list(words), request))


def _run(tuner: Tuner, name: str, words: list[str], request: Request) -> int:
    from cputune.app.launcher import Command, NotExecuted, refuse_interrupted, signals_held, wait

    with signals_held():
        process = Command(words)
        place = None
        try:
            place, cgroup = _enter(tuner, name, process)
            _limit(tuner, name, request)
            started = time.monotonic()
            refuse_interrupted()
            process.go()
        except BaseException as error:
            process.cancel()
            _leave(tuner, name, place)
            if isinstance(error, NotExecuted):
                say(f"error: {error.message}")
                return error.status
            raise
        status = wait(process)
        seconds = time.monotonic() - started
        try:
            _tell(name, seconds, tuner.cgroups.stats(cgroup), tuner.cgroups.read(cgroup))
        except CpuTuneError as error:  # the command did it, and its exit status counts all the same
            say(f"run:{name}: ran {seconds:.3f} s; {error.message}")
        _leave(tuner, name, place)
    return status


def _enter(tuner: Tuner, name: str, process: Command) -> tuple[CommandCgroup, str]:
    """Put the waiting process into a cgroup of that name, and make it known as run:NAME. Raises CpuTuneError."""
    from cputune.app.launcher import OTHER_NAME, place_for, sweep
    from cputune.runtimes import run

    with tuner.context.locks.hold(Keys(frozenset(("names of run",)))):  # of two that want one name, one gets it
        sweep(tuner.cgroups)
        for taken in run.find(tuner.cgroups, name):
            raise WrongState(f"run:{name} is there already (cgroup {taken.limit})", OTHER_NAME)
        place = place_for(tuner.cgroups, name)
        cgroup = place.enter(process.pid)
        try:
            run.write(tuner.host, run.Record(name, process.pid, cgroup, os.getpid()))
        except OSError as error:
            process.cancel()
            place.leave()
            raise from_os_error(error, f"write {run.directory(tuner.host)}") from error
    return place, cgroup


def _limit(tuner: Tuner, name: str, request: Request) -> None:
    if request.change.named() or request.microcpus is not None:
        from cputune.planning.plan import Job
        from cputune.transaction.signals import all_done

        tuner.change([Job(tuner.find(f"run:{name}"), request, "live")], enter=False)  # it ends with its command
        all_done(False)


def _leave(tuner: Tuner, name: str, place: CommandCgroup | None) -> None:
    """Remove cgroup and record; both stay while processes of the command do."""
    from cputune.runtimes import run

    if place is None:
        return
    try:
        left = place.leave()
        if not left:
            run.remove(tuner.host, name)
            tuner.context.state.record(run.ended(name), None)
    except (CpuTuneError, OSError) as error:
        left = str(error)
    if left:
        say(f"run:{name}: {left}")


def _tell(name: str, seconds: float, stats: Stats, state: CpuTune) -> None:
    """The figures, on stderr."""
    limit = f"limit {state.limit_cpus:g} CPUs" if state.limit_cpus else "no limit"
    used = "CPU use is not counted here"
    if stats.usage is not None:
        used = f"used {stats.usage / 1e6:.3f} s of CPU, {stats.usage / 1e6 / max(seconds, 1e-6):.3f} CPUs on average"
    held = "never throttled"
    if stats.throttled:
        share = stats.throttled / (stats.periods or 1)
        held = (
            f"throttled in {stats.throttled} of {stats.periods} periods ({share:.0%}), "
            f"for {(stats.throttled_usec or 0) / 1e6:.3f} s"
        )
    say(f"run:{name}: ran {seconds:.3f} s, {used} ({limit}); {held}")
