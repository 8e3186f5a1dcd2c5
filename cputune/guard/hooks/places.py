"""Where each runtime is told to call cputune: files of cputune's own, or a line or an entry in the runtime's."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import UsageError, WrongState
from cputune.core.names import is_component, printable
from cputune.host.systemd import is_unit_name

if TYPE_CHECKING:
    from cputune.host.system import Host

PODMAN = "/usr/share/containers/oci/hooks.d"
"""Where podman looks, unless it was told otherwise (containers.conf(5), hooks_dir)."""
_CONTAINERS_CONF = ("/etc/containers/containers.conf", "/usr/share/containers/containers.conf")
_HOOKS_DIR = re.compile(r'^\s*hooks_dir\s*=\s*\[[^]]*"([^"]+)"\s*,?\s*\]', re.MULTILINE)
LIBVIRT = "/etc/libvirt/hooks/lxc.d/cputune"
LXC = "/var/lib/lxc"
LXC_DEFAULT = "/etc/lxc/default.conf"
UNITS = "/etc/systemd/system"
DROP_IN = "50-cputune.conf"
_MARK = "hook run "
"""In every line and entry that calls cputune."""


class HookFile(NamedTuple):
    """One file that makes a runtime call cputune."""

    path: str
    has: Callable[[str | None], bool]
    """Whether a text of the file has the hook."""
    installed: Callable[[str | None], str]
    """The text with it. Raises WrongState for a file that it cannot be put into."""
    removed: Callable[[str], str | None]
    """The text without it; None for no file."""
    mode: int = 0o644
    then: tuple[str, ...] = ()
    """A program that has the runtime notice."""


def places(host: Host, runtime: str, names: tuple[str, ...], program: tuple[str, ...]) -> list[HookFile]:
    """Where the hook of a runtime is, or will be; `names` are the bundles of runc and crun, units, containers of LXC's.

    Raises UsageError where names are missing, or there are too many.
    """
    call = _shell((*program, *_MARK.split(), runtime))
    if runtime in ("podman", "libvirt") and names:
        raise UsageError(f"the hook of {runtime} is for all its containers", f"cputune hook install {runtime}")
    if runtime in ("runc", "crun", "systemd") and not names:
        what = "the unit" if runtime == "systemd" else "the bundle: a directory with a config.json"
        raise UsageError(f"{runtime} has no hook for all: name {what}", f"cputune hook install {runtime} ...")
    if runtime == "podman":
        return [_own(_of_podman(host), _podman(call))]
    if runtime == "libvirt":
        return [
            _own(LIBVIRT, _script(call), mode=0o755, then=("systemctl", "try-reload-or-restart", "libvirtd.service"))
        ]
    if runtime == "lxc":
        # LXC has a shell run "exec", this, and words of its own behind it.
        line = f"lxc.hook.start-host = {shlex.join(('/bin/sh', '-c', call))}"
        return [_line(path, line) for path in _of_lxc(host, names)]
    if runtime == "systemd":
        return [_drop_in(name, shlex.join((*program, *_MARK.split(), runtime))) for name in names]
    if "" in names:
        raise UsageError("the name of the bundle is empty", f"cputune hook install {runtime} DIRECTORY")
    return [_entry(os.path.join(os.path.abspath(name), "config.json"), call) for name in names]


def _shell(call: tuple[str, ...]) -> str:
    """A line for a shell that is always true: a container starts whether cputune is there or not, whatever it says."""
    return f"[ ! -x {shlex.quote(call[0])} ] || {shlex.join(call)} || :"


def installed(host: Host, runtime: str) -> Iterator[str]:
    """The files that make a runtime call cputune, as far as they are where cputune can look for them."""
    candidates = {
        "podman": [_of_podman(host)],
        "libvirt": [LIBVIRT],
        "lxc": list(_of_lxc(host, ())),
        "systemd": [f"{UNITS}/{folder}/{DROP_IN}" for folder in host.names(UNITS) if folder.endswith(".d")],
    }
    for path in candidates.get(runtime, ()):
        if f"{_MARK}{runtime}" in (host.read_regular_or_none(path) or ""):
            yield path


def _own(path: str, text: str, mode: int = 0o644, then: tuple[str, ...] = ()) -> HookFile:
    """A file of cputune's own."""
    return HookFile(path, lambda found: found is not None, lambda found: text, lambda found: None, mode, then)


def _of_podman(host: Host) -> str:
    """Where the hook of podman is: in the last directory that it looks into."""
    texts = (host.read_regular_or_none(path) or "" for path in _CONTAINERS_CONF)
    found = next(filter(None, map(_HOOKS_DIR.search, texts)), None)
    return f"{found[1] if found else PODMAN}/cputune.json"


def _oci(call: str) -> dict[str, Any]:
    """A hook as OCI runtimes have it."""
    return {"path": "/bin/sh", "args": ["sh", "-c", call]}


def _podman(call: str) -> str:
    """oci-hooks(5)."""
    import json

    hook = _oci(call)
    return json.dumps({"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": ["createRuntime"]}) + "\n"


def _script(call: str) -> str:
    """https://libvirt.org/hooks.html"""
    with_words = call.replace(" || :", ' -- "$@" || :')
    return f"#!/bin/sh\n# Installed by cputune hook install libvirt.\n{with_words}\n"


def _of_lxc(host: Host, names: tuple[str, ...]) -> Iterator[str]:
    """The configurations of these containers; of all there are, and the one that new ones begin with."""
    for name in names:
        if not is_component(name) or not host.exists(f"{LXC}/{name}/config"):
            raise UsageError(f"no container of LXC's: {printable(name)}", "lxc-ls")
        yield f"{LXC}/{name}/config"
    if not names:
        yield from (path for name in host.names(LXC) if host.exists(path := f"{LXC}/{name}/config"))
        if host.exists(LXC_DEFAULT):
            yield LXC_DEFAULT


def _line(path: str, line: str) -> HookFile:
    """A line in a file of LXC's: lxc.container.conf(5)."""

    def without(text: str) -> str:
        return "".join(one for one in text.splitlines(keepends=True) if f"{_MARK}lxc" not in one)

    def with_it(text: str | None) -> str:
        kept = without(text or "")
        return f"{kept}{'' if not kept or kept.endswith(chr(10)) else chr(10)}{line}\n"

    return HookFile(path, lambda text: f"{_MARK}lxc" in (text or ""), with_it, without)


def _drop_in(unit: str, call: str) -> HookFile:
    """A drop-in of a service's: systemd.unit(5). It runs in the unit's own cgroup, before its first command."""
    if not is_unit_name(unit):
        unit += ".service"
    if not is_component(unit) or not unit.endswith(".service"):
        raise UsageError(f"{printable(unit)} is not the name of a service", "systemctl list-units --type service")
    # +: as root, whoever the service runs as; -: a limit that cannot be is no reason not to start.
    text = f"[Service]\nExecStartPre=-+{call} %n\n"
    return _own(f"{UNITS}/{unit}.d/{DROP_IN}", text, then=("systemctl", "daemon-reload"))


def _entry(path: str, call: str) -> HookFile:
    """An entry in the configuration of an OCI bundle: the runtime specification's config.md, "POSIX-platform Hooks"."""

    def parsed(text: str | None) -> tuple[dict[str, Any], list[Any]]:
        import json

        try:
            config = json.loads(text or "")
            hooks = config.setdefault("hooks", {}).setdefault("createRuntime", [])
            if not isinstance(hooks, list):
                raise TypeError
            rest = [hook for hook in hooks if _MARK not in str(hook.get("args"))]
        except (ValueError, AttributeError, TypeError) as error:
            raise WrongState(f"{path} is not the configuration of a bundle", f"head -c 300 {path}") from error
        return config, rest

    def with_it(text: str | None) -> str:
        import json

        if text is None:
            raise UsageError(f"{os.path.dirname(path)} is no bundle: a directory with a config.json", f"ls -l {path}")
        config, rest = parsed(text)
        config["hooks"]["createRuntime"] = [*rest, _oci(call)]
        return json.dumps(config, indent=4) + "\n"

    def without(text: str) -> str:
        import json

        config, rest = parsed(text)
        config["hooks"]["createRuntime"] = rest
        if not rest:
            del config["hooks"]["createRuntime"]
        if not config["hooks"]:
            del config["hooks"]
        return json.dumps(config, indent=4) + "\n"

    def has(text: str | None) -> bool:
        return text is not None and len(parsed(text)[1]) < len(parsed(text)[0]["hooks"]["createRuntime"])

    return HookFile(path, has, with_it, without)
