"""What systemd and its journal want of a service: sd_notify(3), and lines with fields (systemd.journal-fields(7))."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from cputune.core.names import printable

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
"""Priorities of syslog(3)."""
_JOURNAL = "/run/systemd/journal/socket"


def notify(*states: str) -> None:
    """Tell the service manager, where there is one that wants to know: READY=1, WATCHDOG=1, STATUS=..., ..."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        _send("\0" + address[1:] if address[0] == "@" else address, "\n".join(states))


def watchdog_seconds() -> float | None:
    """How often the service manager has to hear of us at least, halved; None where it does not wait for that."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or int(text) <= 0 or pid not in ("", str(os.getpid())):
        return None
    return int(text) / 2_000_000


def _send(address: str, text: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(address)
            connection.send(text.encode("utf-8", "surrogateescape"), socket.MSG_DONTWAIT)  # nobody is waited for
    except OSError:
        return False
    return True


class Log:
    """Lines for people, each with fields for programs: to the journal where stderr is one, else to stderr."""

    def __init__(self) -> None:
        self._journal = _is_journal()

    def __call__(self, priority: int, message: str, **fields: str) -> None:
        """Tell. Fields are called CPUTUNE_... in the journal."""
        message = printable(message)
        if self._journal:
            named = {f"CPUTUNE_{name.upper()}": printable(value) for name, value in fields.items() if value}
            every = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "cputune-guard", **named}
            if _send(_JOURNAL, "".join(f"{name}={value}\n" for name, value in every.items())):
                return
        with suppress(OSError):  # nobody reads it any more; the guard goes on all the same
            print(f"cputune: {message}", file=sys.stderr, flush=True)


def _is_journal() -> bool:
    """Whether stderr is a stream to the journal: systemd.exec(5), JOURNAL_STREAM."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
