"""Installs the hooks into the runtimes' files, and removes them again. The rest of each file is left unchanged."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cputune.core.errors import Refused, Unsupported, from_os_error
from cputune.guard.hooks import RUNTIMES
from cputune.guard.hooks.files import hook_files, installed_paths
from cputune.host.files import sync_dir, write_atomically

if TYPE_CHECKING:
    from cputune.guard.hooks.hook_file import HookFile
    from cputune.host.system import Host


def install(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Install the hook, which calls cputune with these options; yields a line for each thing done.

    Nothing is written unless the hook can be put into every file.
    Raises UsageError, Unsupported, WrongState, NoPermission, Refused.
    """
    _require_systemd(host, runtime)
    texts = [(file, _read(file.path)) for file in _files(host, runtime, names, options)]
    for file, before, after in [(file, before, file.with_hook(before)) for file, before in texts]:
        if after == before:
            yield f"{file.path}: already installed"
            continue
        _write(file, after)
        yield f"wrote {file.path}"
        _reload(host, file)


def remove(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Remove the hook; yields a line for each thing done. Raises as `install`."""
    _require_systemd(host, runtime)
    files = [file for file in _files(host, runtime, names, options) if file.contains_hook(_read(file.path))]
    if not files:
        yield f"no hook of {runtime} is installed"
    for file in files:
        after = file.without_hook(_read(file.path) or "")
        if after is None:
            _unlink(file.path)
        else:
            _write(file, after)
        yield f"{'removed' if after is None else 'wrote'} {file.path}"
        _reload(host, file)


def show(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the files that `install` writes, whether each has the hook, and its text with it. Raises as `install`."""
    for file in _files(host, runtime, names, options):
        before = _read(file.path)
        state = "installed" if file.contains_hook(before) else "not installed"
        yield f"# {file.path}: {state}"
        yield file.with_hook(before).rstrip("\n")


def overview(host: Host) -> Iterator[str]:
    """Yield a line for each runtime: in which files its hook is installed. Bundles cannot be listed."""
    for runtime in RUNTIMES:
        if runtime in ("runc", "crun"):
            yield f"{runtime}: in the config.json of each bundle: cputune hook show {runtime} BUNDLE"
        else:
            yield f"{runtime}: {', '.join(installed_paths(host, runtime)) or 'not installed'}"


def own_command() -> tuple[str, ...]:
    """Return the command that runs this installation of cputune."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "cputune" and os.access(path, os.X_OK):
        return (path,)
    return (sys.executable, "-m", "cputune")


def _files(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...]) -> list[HookFile]:
    if host.root:
        raise Unsupported(f"a hook cannot be installed on a host at {host.root}", "run cputune on that host")
    return hook_files(host, runtime, names, (*own_command(), *options))


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


def _write(file: HookFile, text: str) -> None:
    path = os.path.realpath(file.path)
    try:
        like = os.stat(path) if os.path.exists(path) else None
        write_atomically(path, text, sync=True, mode=file.mode, like=like)
    except OSError as error:
        raise from_os_error(error, f"write {path}") from error


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
        sync_dir(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, f"remove {path}") from error


def _reload(host: Host, file: HookFile) -> None:
    """Make the runtime read the file again, if it has a daemon."""
    if not file.reload:
        return
    command = shlex.join(file.reload)
    try:
        done = host.run(file.reload, timeout=120)
    except FileNotFoundError:
        return  # without systemctl, no daemon is running
    except OSError as error:
        raise from_os_error(error, f"run {command}") from error
    if done.status != 0:
        raise Refused(f"{command}: {done.stderr.strip()}", command)
