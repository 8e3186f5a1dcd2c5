"""The guard as a service of systemd's, or a timer in its place: installed and taken away again.

The unit files are beside this module (and in the wheel's share/cputune); what is installed says where cputune is.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress

from cputune.core.errors import CpuTuneError, Refused, Unsupported, from_os_error
from cputune.guard.hooks.installing import program
from cputune.host.files import sync_dir, write_atomically
from cputune.host.system import Host

FOLDER = "/etc/systemd/system"
GUARD = "cputune-guard.service"
TIMER = "cputune-apply.timer"
_FILES = {GUARD: (GUARD,), TIMER: (TIMER, "cputune-apply.service")}


def text_of(name: str, call: str, *, enforce: bool = False) -> str:
    """A unit file that calls cputune so."""
    with open(os.path.join(os.path.dirname(__file__), "units", name), encoding="utf-8") as file:
        text = file.read()
    text = text.replace("ExecStart=cputune", f"ExecStart={call}")
    return text.replace(" guard\n", " guard --enforce\n") if enforce else text


def install(host: Host, *, enforce: bool, timer: bool) -> Iterator[str]:
    """Write the unit files, enable and start the guard, or the timer in its place; yields what was done.

    Raises Unsupported without systemd, NoPermission, Refused.
    """
    _require_systemd(host)
    wanted, other = (TIMER, GUARD) if timer else (GUARD, TIMER)
    yield from _remove(host, other)
    for name in _FILES[wanted]:
        path = f"{FOLDER}/{name}"
        try:
            write_atomically(path, text_of(name, shlex.join(program()), enforce=enforce), sync=True)
        except OSError as error:
            raise from_os_error(error, f"write {path}") from error
        yield f"wrote {path}"
    _systemctl(host, "daemon-reload")
    _systemctl(host, "enable", wanted)
    _systemctl(host, "restart", wanted)  # one of an earlier installation may be running
    yield f"enabled and started {wanted}"


def remove(host: Host) -> Iterator[str]:
    """Stop and disable whichever is installed, and remove its unit files; yields what was done. Raises as `install`."""
    _require_systemd(host)
    done = [line for name in _FILES for line in _remove(host, name)]
    yield from done or ["nothing is installed"]


def _remove(host: Host, name: str) -> Iterator[str]:
    paths = [f"{FOLDER}/{file}" for file in _FILES[name] if os.path.lexists(f"{FOLDER}/{file}")]
    if not paths:
        return
    with suppress(CpuTuneError):  # it may be half installed
        _systemctl(host, "disable", "--now", name)
    for path in paths:
        try:
            os.unlink(path)
        except OSError as error:
            raise from_os_error(error, f"remove {path}") from error
        yield f"removed {path}"
    sync_dir(FOLDER)
    _systemctl(host, "daemon-reload")


def _require_systemd(host: Host) -> None:
    if host.root:
        raise Unsupported(f"a service cannot be installed on a host at {host.root}", "run cputune on that host")
    if not host.is_dir("/run/systemd/system"):
        raise Unsupported("systemd is not running here", "start it by other means: cputune guard --enforce")


def _systemctl(host: Host, *words: str) -> None:
    try:
        done = host.run(["systemctl", *words], timeout=120)
    except OSError as error:
        raise from_os_error(error, f"run systemctl {' '.join(words)}") from error
    if done.status != 0:
        raise Refused(f"systemctl {' '.join(words)}: {done.stderr.strip()}", f"systemctl status {words[-1]}")
