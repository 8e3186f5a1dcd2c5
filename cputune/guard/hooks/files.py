"""Which files make each runtime call cputune, and what a hook looks like there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cputune.core.errors import UsageError, from_os_error
from cputune.core.names import is_component, printable
from cputune.guard.hooks.hook_file import MARK, HookFile, bundle_entry, lxc_line, oci_hook, own_file
from cputune.host.ownership import read_own, resolved
from cputune.host.systemd import is_unit_name

if TYPE_CHECKING:
    from cputune.host.system import Host

_PODMAN_DIRECTORY = "/usr/share/containers/oci/hooks.d"
"""podman's hooks_dir, unless a containers.conf(5) sets another."""
_CONTAINERS_CONF = ("/etc/containers/containers.conf", "/usr/share/containers/containers.conf")
_HOOKS_DIR = re.compile(r"^[ \t]*hooks_dir[ \t]*=[ \t]*\[", re.MULTILINE)
_LIBVIRT = "/etc/libvirt/hooks/lxc.d/cputune"
_LXC_DIRECTORY = "/var/lib/lxc"
_LXC_DEFAULT = "/etc/lxc/default.conf"
"""What the configuration of a new container begins with."""
_LARGEST = 4 << 20
"""Bytes of a file that a hook can be in."""
_UNIT_DIRECTORY = "/etc/systemd/system"
_DROP_IN = "50-cputune.conf"
"""The name of the drop-in, below NAME.service.d."""


def hook_files(host: Host, runtime: str, names: tuple[str, ...], program: tuple[str, ...]) -> list[HookFile]:
    """Return the files that the hook of a runtime is in, or will be in; `program` is how cputune is to be called.

    `names` are bundle directories for runc and crun, services for systemd, containers for lxc (none for all).
    Raises UsageError if the runtime needs names and there are none, or takes none and there are some.
    """
    call = (*program, *MARK.split(), runtime)
    command = _shell_command(call)
    if runtime in ("podman", "libvirt") and names:
        raise UsageError(f"the hook of {runtime} is for all its containers", f"cputune hook install {runtime}")
    if runtime in ("runc", "crun", "systemd") and not names:
        what = "the service" if runtime == "systemd" else "the bundle, a directory with a config.json"
        raise UsageError(f"{runtime} has no hook for everything: name {what}", f"cputune hook install {runtime} ...")
    if runtime == "podman":
        return [own_file(_podman_path(host), _podman_text(command))]
    if runtime == "libvirt":
        reload = ("systemctl", "try-reload-or-restart", "libvirtd.service")
        return [own_file(_LIBVIRT, _libvirt_script(command), mode=0o755, reload=reload)]
    if runtime == "lxc":
        # LXC has a shell run "exec", this, and arguments of its own.
        line = f"lxc.hook.start-host = {shlex.join(('/bin/sh', '-c', command))}"
        return [lxc_line(path, line) for path in _lxc_paths(host, names)]
    if runtime == "systemd":
        return [_drop_in(name, shlex.join(call)) for name in names]
    if "" in names:
        raise UsageError("the name of the bundle is empty", f"cputune hook install {runtime} DIRECTORY")
    return [bundle_entry(os.path.join(os.path.abspath(name), "config.json"), command) for name in names]


def installed_paths(host: Host, runtime: str) -> Iterator[str]:
    """List the files that have the hook of a runtime, other than bundles, which may be anywhere."""
    drop_ins = (name for name in host.foreign.names(_UNIT_DIRECTORY) if name.endswith(".d"))
    candidates = {
        "podman": [_podman_path(host)],
        "libvirt": [_LIBVIRT],
        "lxc": list(_lxc_paths(host, ())),
        "systemd": [f"{_UNIT_DIRECTORY}/{name}/{_DROP_IN}" for name in drop_ins],
    }
    for path in candidates.get(runtime, ()):
        if f"{MARK}{runtime}" in (host.foreign.read_or_none(path) or ""):
            yield path


def read(path: str) -> tuple[str, os.stat_result] | None:
    """Return text and status of a file that a hook can be in; None if there is none.

    Raises NoPermission if another user can change it or replace it, or has made a link of it; Refused.
    """
    try:
        return read_own(resolved(path), _LARGEST)
    except OSError as error:
        raise from_os_error(error, f"read {path}") from error


def _shell_command(call: tuple[str, ...]) -> str:
    """Return a command for sh that always succeeds: containers must start even if cputune fails or was uninstalled."""
    return f"[ ! -x {shlex.quote(call[0])} ] || {shlex.join(call)} || :"


def _podman_path(host: Host) -> str:
    texts = (host.foreign.read_or_none(path) or "" for path in _CONTAINERS_CONF)
    return f"{next(filter(None, map(_hooks_dir, texts)), _PODMAN_DIRECTORY)}/cputune.json"


def _hooks_dir(text: str) -> str | None:
    """Return the last directory of a list hooks_dir = [...]: podman takes a hook of this name from there."""
    begun = _HOOKS_DIR.search(text)
    if not begun:
        return None
    directories = re.findall(r'"([^"]+)"', text[begun.end() :].partition("]")[0])
    return directories[-1] if directories else None


def _podman_text(command: str) -> str:
    """Return the text of podman's hook: oci-hooks(5)."""
    import json

    hook = {"version": "1.0.0", "hook": oci_hook(command), "when": {"always": True}, "stages": ["createRuntime"]}
    return json.dumps(hook) + "\n"


def _libvirt_script(command: str) -> str:
    """Return the text of libvirt's hook, which passes its arguments on: https://libvirt.org/hooks.html"""
    with_arguments = command.replace(" || :", ' -- "$@" || :')
    return f"#!/bin/sh\n# Installed by cputune hook install libvirt.\n{with_arguments}\n"


def _lxc_paths(host: Host, names: tuple[str, ...]) -> Iterator[str]:
    """List the configurations of the named containers; without names, of all containers and of new ones."""
    for name in names:
        if not is_component(name) or not _is_there(host, f"{_LXC_DIRECTORY}/{name}/config"):
            raise UsageError(f"no LXC container of this name: {printable(name)}", "lxc-ls")
        yield f"{_LXC_DIRECTORY}/{name}/config"
    if not names:
        every = (f"{_LXC_DIRECTORY}/{name}/config" for name in host.foreign.names(_LXC_DIRECTORY))
        yield from (path for path in every if _is_there(host, path))
        if host.foreign.exists(_LXC_DEFAULT):
            yield _LXC_DEFAULT


def _is_there(host: Host, path: str) -> bool:
    """Whether there is such a file of root's, or one of a user's may be there: that is told when it is to be read."""
    return host.foreign.exists(path) or host.foreign.owner(path) != 0


def _drop_in(service: str, command: str) -> HookFile:
    """Return a drop-in of a service, systemd.unit(5): it runs in the unit's cgroup, before the unit's own commands."""
    if not is_unit_name(service):
        service += ".service"
    if not is_component(service) or not service.endswith(".service"):
        raise UsageError(f"{printable(service)} is not the name of a service", "systemctl list-units --type service")
    # "+" runs it as root, whatever the User= of the service; "-" starts the service even if it fails.
    text = f"[Service]\nExecStartPre=-+{command} %n\n"
    return own_file(f"{_UNIT_DIRECTORY}/{service}.d/{_DROP_IN}", text, reload=("systemctl", "daemon-reload"))
