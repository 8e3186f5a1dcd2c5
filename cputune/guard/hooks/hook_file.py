"""How a hook gets into one file and out again: a file of its own, a line of text, or an entry in JSON. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from cputune.core.errors import UsageError, WrongState

MARK = "hook run "
"""What every hook contains, and so what it is recognized by: `cputune hook run RUNTIME`."""


class HookFile(NamedTuple):
    """A file that makes a runtime call cputune. Its texts are None while the file does not exist."""

    path: str
    hook: str
    """The hook itself, which is all that is shown: the rest of the file may be a secret."""
    contains_hook: Callable[[str | None], bool]
    with_hook: Callable[[str | None], str]
    """Raises WrongState, UsageError for a text that the hook cannot be put into."""
    without_hook: Callable[[str], str | None]
    """Returns None if the file is to be removed."""
    mode: int = 0o644
    reload: tuple[str, ...] = ()
    """The command that makes the runtime read the file again."""


def own_file(path: str, text: str, mode: int = 0o644, reload: tuple[str, ...] = ()) -> HookFile:
    """Return a file that has nothing but the hook in it."""
    return HookFile(path, text, lambda found: found is not None, lambda _: text, lambda _: None, mode, reload)


def lxc_line(path: str, line: str) -> HookFile:
    """Return an LXC configuration that has the hook as one of its lines: lxc.container.conf(5)."""
    mark = f"{MARK}lxc"

    def without_hook(text: str) -> str:
        return "".join(other for other in text.splitlines(keepends=True) if mark not in other)

    def with_hook(text: str | None) -> str:
        others = without_hook(text or "")
        separator = "\n" if others and not others.endswith("\n") else ""
        return f"{others}{separator}{line}\n"

    return HookFile(path, f"{line}\n", lambda text: mark in (text or ""), with_hook, without_hook)


def bundle_entry(path: str, command: str) -> HookFile:
    """Return the config.json of an OCI bundle that has the hook, a command for sh, among its createRuntime hooks.

    Those are described in "POSIX-platform Hooks" of the OCI runtime specification's config.md.
    """

    def parse(text: str | None) -> tuple[dict[str, Any], list[Any]]:
        """Return the configuration, and its createRuntime hooks other than cputune's."""
        import json

        try:
            config = json.loads(text or "")
            if not isinstance(config["ociVersion"], str):
                raise TypeError
            hooks = config.setdefault("hooks", {}).setdefault("createRuntime", [])
            if not isinstance(hooks, list):
                raise TypeError
            others = [hook for hook in hooks if MARK not in str(hook.get("args"))]
        except (ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:
            raise WrongState(
                f"{path} is not the configuration of an OCI bundle{_place(error)}", f"ls -l {path}"
            ) from error
        return config, others

    def contains_hook(text: str | None) -> bool:
        if text is None:
            return False
        config, others = parse(text)
        return len(others) < len(config["hooks"]["createRuntime"])

    def with_hook(text: str | None) -> str:
        if text is None:
            directory = os.path.dirname(path)
            raise UsageError(f"{directory} is not an OCI bundle: it has no config.json", f"ls -l {path}")
        config, others = parse(text)
        config["hooks"]["createRuntime"] = [*others, oci_hook(command)]
        return _to_json(config)

    def without_hook(text: str) -> str:
        config, others = parse(text)
        config["hooks"]["createRuntime"] = others
        if not others:
            del config["hooks"]["createRuntime"]
        if not config["hooks"]:
            del config["hooks"]
        return _to_json(config)

    shown = _to_json({"hooks": {"createRuntime": [oci_hook(command)]}})
    return HookFile(path, shown, contains_hook, with_hook, without_hook)


def _place(error: Exception) -> str:
    """Return where a text is no JSON, for an error; nothing of the text."""
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    return f": line {line}, column {column} is no JSON" if line else ""


def oci_hook(command: str) -> dict[str, Any]:
    """Return a hook of the OCI runtime specification that has sh run a command."""
    return {"path": "/bin/sh", "args": ["sh", "-c", command]}


def _to_json(config: dict[str, Any]) -> str:
    import json

    return json.dumps(config, indent=4) + "\n"
