"""Running a runtime's own program, and editing its files, so that it remembers other limits."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from cputune.core.errors import CpuTuneError, Gone, NoPermission, Refused, Unsupported, WrongState, from_os_error
from cputune.host.files import write_atomically
from cputune.runtimes.native.settings import EditFile, NativeAction, RunCommand

if TYPE_CHECKING:
    from cputune.host.system import Host
    from cputune.transaction.context import Context

_COMMAND_SECONDS = 120.0
"""After which a program that does not end has failed."""


def carry_out(context: Context, action: NativeAction) -> None:
    """Run a runtime's program, or edit its file. Raises CpuTuneError."""
    if isinstance(action, EditFile):
        _edit(context.cgroups.host, action)
        return
    command = " ".join(action.argv)
    user = None if action.user == context.cgroups.host.uid else action.user
    try:
        done = context.cgroups.host.run(list(action.argv), user, _COMMAND_SECONDS, action.input)
    except FileNotFoundError as error:
        raise Unsupported(f"cannot run {command}: there is no {action.argv[0]} here") from error
    except OSError as error:
        raise Refused(f"cannot run {command}: {error.strerror or error}", action.hint) from error
    if done.status != 0:
        raise _explained(action, command, " ".join(done.stderr.split()) or f"exit status {done.status}")


def _explained(action: RunCommand, command: str, said: str) -> CpuTuneError:
    message = f"{command}: {said}"
    if re.search(r"permission denied|access denied|interactive authentication required", said, re.IGNORECASE):
        return NoPermission(message, "run it as root: sudo cputune ...")
    if re.search(r"cannot connect|connection refused|failed to connect|no such file or directory", said, re.IGNORECASE):
        return WrongState(message, action.hint)
    if re.search(r"no such container|no container with|not found|failed to get domain", said, re.IGNORECASE):
        return Gone(message, "it disappeared in the meantime; list what is running: cputune status")
    return Refused(message)


def _edit(host: Host, edit: EditFile) -> None:
    """Replace a file of another program, which is root's or the caller's own; mode and owner stay as they were."""
    if not os.path.isdir(os.path.dirname(edit.path)):
        raise Gone(f"{os.path.dirname(edit.path)} is gone, and its container with it")
    try:
        known = host.foreign.require(edit.path.removeprefix(host.root), host.uid)
        if edit.text is not None:
            write_atomically(edit.path, edit.text, sync=True, like=known)
        elif known is not None:
            os.unlink(edit.path)
    except OSError as error:
        raise from_os_error(error, f"write {edit.path}") from error
