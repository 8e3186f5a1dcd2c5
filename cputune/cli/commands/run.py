"""`cputune run`: run a command as a domain of its own, limited from its first instruction."""

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
    from cputune.app.command_cgroup import CommandCgroup
    from cputune.app.launcher import Command
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
    """Run a command in a cgroup of its own, with limits that are in force before its first instruction.

    The cgroup is a transient systemd scope or, where systemd is not PID 1, a directory that cputune creates and
    removes. Signals are passed on to the command. When it ends, its CPU usage and how long it was throttled are
    printed on stderr. The exit status is that of the command: 128 + N if signal N killed it, 127 if it was not found,
    126 if it could not be executed.
    """
    request = request_of(values)
    tuner = make_tuner(ctx)
    name = check(name if name is not None else f"{os.path.basename(words[0])}-{os.getpid()}")
    if not is_component(name):
        raise UsageError(f"--name: {printable(name)} is not a valid name: it contains a slash or is too long")
    ctx.exit(_run(tuner, name, list(words), request))


def _run(tuner: Tuner, name: str, words: list[str], request: Request) -> int:
    """Run the command; returns its exit status."""
    from cputune.app.launcher import Command, NotExecuted, raise_if_interrupted, signals_blocked, wait

    with signals_blocked():
        process = Command(words)
        cgroup = None
        try:
            cgroup, path = _enter(tuner, name, process)
            _limit(tuner, name, request)
            started = time.monotonic()
            raise_if_interrupted()
            process.execute()
        except BaseException as error:
            process.cancel()
            _clean_up(tuner, name, cgroup)
            if isinstance(error, NotExecuted):
                say(f"error: {error.message}")
                return error.status
            raise
        status = wait(process)
        seconds = time.monotonic() - started
        try:
            _report(name, seconds, tuner.cgroups.stats(path), tuner.cgroups.read(path))
        except CpuTuneError as error:  # the command has run, so its own exit status is what counts
            say(f"run:{name}: ran {seconds:.3f} s; {error.message}")
        _clean_up(tuner, name, cgroup)
    return status


def _enter(tuner: Tuner, name: str, process: Command) -> tuple[CommandCgroup, str]:
    """Put the waiting process into a cgroup of its own, whose path is returned too, and record it as run:NAME.

    Raises CpuTuneError.
    """
    from cputune.app.command_cgroup import OTHER_NAME, cgroup_for, remove_stale
    from cputune.runtimes import run

    with tuner.context.locks.hold(Keys(frozenset(("names of run",)))):  # so that only one gets the name
        remove_stale(tuner.cgroups)
        for taken in run.find(tuner.cgroups, name):
            raise WrongState(f"run:{name} already exists (cgroup {taken.limit_cgroup})", OTHER_NAME)
        cgroup = cgroup_for(tuner.cgroups, name)
        path = cgroup.enter(process.pid)
        try:
            run.write(tuner.host, run.Record(name, process.pid, path, os.getpid()))
        except OSError as error:
            process.cancel()
            cgroup.remove()
            raise from_os_error(error, f"write {run.directory(tuner.host)}") from error
    return cgroup, path


def _limit(tuner: Tuner, name: str, request: Request) -> None:
    """Set the limits that were given, if any."""
    if request.change.named():
        from cputune.planning.plan import Job
        from cputune.transaction.signals import all_done

        # Not in the history: the limits end with the command.
        tuner.change([Job(tuner.find(f"run:{name}"), request, "live")], enter=False)
        all_done(False)


def _clean_up(tuner: Tuner, name: str, cgroup: CommandCgroup | None) -> None:
    """Remove the cgroup and the record, unless processes of the command are still running."""
    from cputune.runtimes import run

    if cgroup is None:
        return
    try:
        problem = cgroup.remove()
        if not problem:
            run.remove(tuner.host, name)
            tuner.context.records.write(run.ended(name), None)
    except (CpuTuneError, OSError) as error:
        problem = str(error)
    if problem:
        say(f"run:{name}: {problem}")


def _report(name: str, seconds: float, stats: Stats, state: CpuTune) -> None:
    """Say on stderr what the command used, and how long it was throttled."""
    limit = f"limit {state.limit_cpus:g} CPUs" if state.limit_cpus else "no limit"
    used = "CPU usage is not available"
    if stats.usage is not None:
        used = f"used {stats.usage / 1e6:.3f} s of CPU, {stats.usage / 1e6 / max(seconds, 1e-6):.3f} CPUs on average"
    throttled = "never throttled"
    if stats.throttled:
        share = stats.throttled / (stats.periods or 1)
        throttled = (
            f"throttled in {stats.throttled} of {stats.periods} periods ({share:.0%}), "
            f"for {(stats.throttled_usec or 0) / 1e6:.3f} s"
        )
    say(f"run:{name}: ran {seconds:.3f} s, {used} ({limit}); {throttled}")
