"""Installs the guard as a systemd service, or a timer instead, and removes them again.

The unit files are those in units/ beside this module; in the installed ones, ExecStart= has the path of cputune.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress

from cputune.core.errors import CpuTuneError, Refused, Unsupported, from_os_error
from cputune.guard.program import trusted_command
from cputune.host.files import sync_dir, write_atomically
from cputune.host.system import Host

DIRECTORY = "/etc/systemd/system"
GUARD = "cputune-guard.service"
TIMER = "cputune-apply.timer"
_FILES = {GUARD: (GUARD,), TIMER: (TIMER, "cputune-apply.service")}
"""The unit files of each: a timer starts a service."""


def unit_text(name: str, program: str, *, enforce: bool = False) -> str:
    """Return the text of a unit file that runs this cputune; with `enforce`, as `cputune guard --enforce`."""
    with open(os.path.join(os.path.dirname(__file__), "units", name), encoding="utf-8") as file:
        text = file.read()
    text = text.replace("ExecStart=cputune", f"ExecStart={program.replace('%', '%%')}")  # systemd.unit(5), Specifiers
    return text.replace(" guard\n", " guard --enforce\n") if enforce else text


def install(host: Host, *, enforce: bool, timer: bool) -> Iterator[str]:
    """Write the unit files of the guard or of the timer, enable and start it; yields a line for each thing done.

    The other one is removed. Raises Unsupported without systemd, NoPermission also if another user can change cputune,
    Refused if systemctl fails.
    """
    _require_systemd(host)
    program = shlex.join(trusted_command(host))
    wanted, other = (TIMER, GUARD) if timer else (GUARD, TIMER)
    yield from _remove(host, other)
    for name in _FILES[wanted]:
        path = f"{DIRECTORY}/{name}"
        try:
            write_atomically(path, unit_text(name, program, enforce=enforce), sync=True)
        except OSError as error:
            raise from_os_error(error, f"write {path}") from error
        yield f"wrote {path}"
    _systemctl(host, "daemon-reload")
    _systemctl(host, "enable", wanted)
    _systemctl(host, "restart", wanted)  # not start: that of an earlier installation may be running
    yield f"enabled and started {wanted}"


def remove(host: Host) -> Iterator[str]:
    """Stop, disable and remove the guard or the timer; yields a line for each thing done. Raises as `install`."""
    _require_systemd(host)
    done = [line for name in _FILES for line in _remove(host, name)]
    yield from done or ["neither the guard nor the timer is installed"]


def _remove(host: Host, name: str) -> Iterator[str]:
    paths = [f"{DIRECTORY}/{file}" for file in _FILES[name] if os.path.lexists(f"{DIRECTORY}/{file}")]
    if not paths:
        return
    with suppress(CpuTuneError):  # an earlier installation may have failed half-way
        _systemctl(host, "disable", "--now", name)
    for path in paths:
        try:
            os.unlink(path)
        except OSError as error:
            raise from_os_error(error, f"remove {path}") from error
        yield f"removed {path}"
    sync_dir(DIRECTORY)
    _systemctl(host, "daemon-reload")


def _require_systemd(host: Host) -> None:
    if host.root:
        raise Unsupported(f"a service cannot be installed on a host at {host.root}", "run cputune on that host")
    if not host.is_dir("/run/systemd/system"):
        raise Unsupported("systemd is not running here", "run it in the foreground: cputune guard --enforce")


def _systemctl(host: Host, *arguments: str) -> None:
    command = f"systemctl {' '.join(arguments)}"
    try:
        done = host.run(["systemctl", *arguments], timeout=120)
    except OSError as error:
        raise from_os_error(error, f"run {command}") from error
    if done.status != 0:
        raise Refused(f"{command}: {done.stderr.strip()}", f"systemctl status {arguments[-1]}")
