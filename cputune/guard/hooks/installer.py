"""Installs the hooks into the runtimes' files, and removes them again. The rest of each file is left unchanged."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cputune.core.errors import NoPermission, Refused, Unsupported, from_os_error
from cputune.guard.hooks import RUNTIMES
from cputune.guard.hooks.files import hook_files, installed_paths, read
from cputune.guard.program import own_command, trusted_command
from cputune.host.files import sync_dir, write_atomically
from cputune.host.ownership import ChangeableByUser, resolved

if TYPE_CHECKING:
    from cputune.guard.hooks.hook_file import HookFile
    from cputune.host.system import Host

_Found = tuple[str, os.stat_result] | None
"""What is in a file, and its status; None if there is none."""


def install(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Install the hook, which calls cputune with these options; yields a line for each thing done.

    Nothing is written unless the hook can be put into every file, and nobody but root can change what it calls.
    Without names, LXC's containers that belong to users are left alone.
    Raises UsageError, Unsupported, WrongState, NoPermission, Refused.
    """
    _require_possible(host, runtime)
    files = hook_files(host, runtime, names, (*trusted_command(host), *options))
    wanted, left_alone = _readable(runtime, names, files)
    for file, found, after in [(file, found, file.with_hook(_text(found))) for file, found in wanted]:
        if after == _text(found):
            yield f"{file.path}: already installed"
            continue
        _write(file, after, found)
        yield f"wrote {file.path}"
        _reload(host, file)
    yield from left_alone


def remove(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Remove the hook; yields a line for each thing done. Raises as `install`."""
    _require_possible(host, runtime)
    files = hook_files(host, runtime, names, (*own_command(), *options))
    wanted, left_alone = _readable(runtime, names, files)
    installed = [(file, found) for file, found in wanted if file.contains_hook(_text(found))]
    if not installed:
        yield f"no hook of {runtime} is installed"
    for file, found in installed:
        after = file.without_hook(_text(found) or "")
        if after is None:
            _unlink(file.path)
        else:
            _write(file, after, found)
        yield f"{'removed' if after is None else 'wrote'} {file.path}"
        _reload(host, file)
    yield from left_alone


def show(host: Host, runtime: str, names: tuple[str, ...], options: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the files that `install` changes, whether each has the hook, and the hook. Raises as `install`."""
    _refuse_elsewhere(host)
    files = hook_files(host, runtime, names, (*own_command(), *options))
    wanted, left_alone = _readable(runtime, names, files)
    for file, found in wanted:
        file.with_hook(_text(found))  # raises for a file that it cannot be put into
        yield f"# {file.path}: {'installed' if file.contains_hook(_text(found)) else 'not installed'}"
        yield file.hook.rstrip("\n")
    yield from left_alone


def overview(host: Host) -> Iterator[str]:
    """Yield a line for each runtime: in which files its hook is installed. Bundles cannot be listed."""
    for runtime in RUNTIMES:
        if runtime in ("runc", "crun"):
            yield f"{runtime}: in the config.json of each bundle: cputune hook show {runtime} BUNDLE"
        else:
            yield f"{runtime}: {', '.join(installed_paths(host, runtime)) or 'not installed'}"


def _refuse_elsewhere(host: Host) -> None:
    if host.root:
        raise Unsupported(f"a hook cannot be installed on a host at {host.root}", "run cputune on that host")


def _require_possible(host: Host, runtime: str) -> None:
    _refuse_elsewhere(host)
    if runtime == "systemd" and not host.is_dir("/run/systemd/system"):
        raise Unsupported("systemd is not running here", "cputune hook show systemd UNIT")


def _readable(
    runtime: str, names: tuple[str, ...], files: list[HookFile]
) -> tuple[list[tuple[HookFile, _Found]], list[str]]:
    """Return the files with what is in them; and why some, which were not named, are left alone, a line each."""
    wanted: list[tuple[HookFile, _Found]] = []
    left_alone = []
    for file in files:
        try:
            wanted.append((file, read(file.path)))
        except ChangeableByUser as error:
            if runtime == "lxc" and not names:
                left_alone.append(f"{file.path}: left alone: {error.message}")
                continue
            hint = f"sudo -u '#{error.uid}' cputune hook ..."
            raise NoPermission(f"cannot edit {file.path}: {error.message}", hint) from error
    return wanted, left_alone


def _text(found: _Found) -> str | None:
    return None if found is None else found[0]


def _write(file: HookFile, text: str, found: _Found) -> None:
    try:
        like = None if found is None else found[1]
        write_atomically(resolved(file.path), text, sync=True, mode=file.mode, like=like)
    except OSError as error:
        raise from_os_error(error, f"write {file.path}") from error


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
