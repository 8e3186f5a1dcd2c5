"""How units and hooks call cputune: a command that root runs again and again, so that nobody else may change it."""

from __future__ import annotations

import os
import re
import sys

from cputune.core.errors import NoPermission, Unsupported, from_os_error
from cputune.host.ownership import require_tree, resolved
from cputune.host.system import Host

_PROPERLY = "sudo python3 -m venv /opt/cputune && sudo /opt/cputune/bin/pip install cputune"
"""How to install cputune so that nobody but root can change it."""
_INTERPRETER = re.compile(rb"#![ \t]*([^ \t\n]+)")
_FOLDERS = "import sys, cputune; print(*sys.path, *cputune.__path__, sep='\\0', end='')"
"""Prints from where the command imports."""


def own_command() -> tuple[str, ...]:
    """Return the command that runs this installation of cputune."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "cputune" and os.access(path, os.X_OK):
        return (path,)
    # Without -I, it would import from the directory in which a runtime happens to call it.
    return (sys.executable, "-I", "-m", "cputune")


def trusted_command(host: Host) -> tuple[str, ...]:
    """Return `own_command` if nobody but root (and the caller) can change what it runs.

    That is: the program, its interpreter, Python, and all in the directories that Python imports from, with every
    directory and symbolic link on the way. Raises NoPermission with the way to install cputune properly, Unsupported.
    """
    command = own_command()
    try:
        for path in (command[0], *_interpreter(command[0]), sys.executable):
            resolved(path, lasting=True)
        for folder in _folders(host):
            require_tree(folder)
    except NoPermission as error:
        raise NoPermission(f"root would run {command[0]}, but {error.message}", _PROPERLY) from error
    except OSError as error:
        raise from_os_error(error, f"look at {error.filename or command[0]}") from error
    return command


def _interpreter(program: str) -> list[str]:
    """Return the interpreter that a script names in its first line: execve(2). Raises OSError, NoPermission."""
    with open(program, "rb") as file:
        found = _INTERPRETER.match(file.read(256))
    if not found:
        return []
    path = os.fsdecode(found[1])
    if not path.startswith("/") or os.path.basename(path) == "env":
        raise NoPermission(f"the interpreter of {program} is looked for in the PATH")
    return [path]


def _folders(host: Host) -> list[str]:
    """Return the directories and archives that the command imports from. Raises OSError, Unsupported."""
    done = host.run((sys.executable, "-I", "-c", _FOLDERS))
    if done.status != 0:
        raise Unsupported(f"cputune is not installed for {sys.executable}: it was run from its sources", _PROPERLY)
    return sorted(folder for folder in set(done.stdout.split("\0")) if os.path.lexists(folder))
