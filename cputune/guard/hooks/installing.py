"""Hooks put into the runtimes' files, and taken out again: every file as a whole, as it was but for the hook."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cputune.core.errors import Refused, Unsupported, from_os_error
from cputune.guard.hooks import RUNTIMES
from cputune.guard.hooks.places import HookFile, installed, places
from cputune.host.files import sync_dir, write_atomically

if TYPE_CHECKING:
    from cputune.host.system import Host


def install(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Install the hook, which calls cputune with these options; yields what was done.

    Raises UsageError, Unsupported, WrongState, NoPermission, Refused.
    """
    _require_systemd(host, runtime)
    found = [(place, _read(place.path)) for place in _places(host, runtime, names, options)]
    for place, before, after in [(place, before, place.installed(before)) for place, before in found]:
        if after == before:
            yield f"{place.path} has it already"
            continue
        _write(place, after)
        yield f"wrote {place.path}"
        _then(host, place)


def remove(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Take the hook away; yields what was done. Raises as `install`."""
    _require_systemd(host, runtime)
    found = [place for place in _places(host, runtime, names, options) if place.has(_read(place.path))]
    if not found:
        yield f"no hook of {runtime} is installed"
    for place in found:
        after = place.removed(_read(place.path) or "")
        if after is None:
            _unlink(place.path)
        else:
            _write(place, after)
        yield f"{'removed' if after is None else 'wrote'} {place.path}"
        _then(host, place)


def show(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """The files that `install` would write, and what it would write there. Raises as `install`."""
    for place in _places(host, runtime, names, options):
        before = _read(place.path)
        state = "installed" if place.has(before) else "not installed"
        yield f"# {place.path}: {state}"
        yield place.installed(before).rstrip("\n")


def overview(host: Host) -> Iterator[str]:
    """A line for each runtime: where its hook is installed, as far as cputune knows where to look."""
    for runtime in RUNTIMES:
        if runtime in ("runc", "crun"):
            yield f"{runtime}: in the config.json of each bundle: cputune hook show {runtime} BUNDLE"
        else:
            yield f"{runtime}: {', '.join(installed(host, runtime)) or 'not installed'}"


def program() -> tuple[str, ...]:
    """This very cputune, as others call it."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "cputune" and os.access(path, os.X_OK):
        return (path,)
    return (sys.executable, "-m", "cputune")


def _places(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...]) -> list[HookFile]:
    if host.root:
        raise Unsupported(f"a hook cannot be installed on a host at {host.root}", "run cputune on that host")
    return places(host, runtime, names, (*program(), *options))


def _require_systemd(host: Host, runtime: str) -> None:
    if runtime == "systemd" and not host.is_dir("/run/systemd/system"):
        raise Unsupported("systemd is not running here", "cputune hook show systemd UNIT")


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"read {path}") from error


def _write(place: HookFile, text: str) -> None:
    path = os.path.realpath(place.path)
    try:
        like = os.stat(path) if os.path.exists(path) else None
        write_atomically(path, text, sync=True, mode=place.mode, like=like)
    except OSError as error:
        raise from_os_error(error, f"write {path}") from error


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
        sync_dir(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, f"remove {path}") from error


def _then(host: Host, place: HookFile) -> None:
    """Have the runtime notice."""
    if not place.then:
        return
    try:
        done = host.run(place.then, timeout=120)
    except FileNotFoundError:
        return  # it is not running here
    except OSError as error:
        raise from_os_error(error, f"run {shlex.join(place.then)}") from error
    if done.status != 0:
        raise Refused(f"{shlex.join(place.then)}: {done.stderr.strip()}", f"{shlex.join(place.then)}")
