"""What a service says to systemd and its journal: sd_notify(3), systemd.journal-fields(7)."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from cputune.core.names import printable

if TYPE_CHECKING:
    from cputune.core.errors import CpuTuneError

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
"""Priorities, as in syslog(3)."""
_JOURNAL = "/run/systemd/journal/socket"
"""Where the journal's native protocol is spoken."""


def notify(*states: str) -> None:
    """Send states such as READY=1, WATCHDOG=1 or STATUS=... to the service manager, if it has asked for them."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        _send("\0" + address[1:] if address[0] == "@" else address, "\n".join(states))


def watchdog_seconds() -> float | None:
    """Return half of the watchdog's interval, in seconds: how often to send WATCHDOG=1. None without a watchdog."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or int(text) <= 0 or pid not in ("", str(os.getpid())):
        return None
    return int(text) / 2_000_000


def _send(address: str, text: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(address)
            connection.send(text.encode("utf-8", "surrogateescape"), socket.MSG_DONTWAIT)  # never wait for the reader
    except OSError:
        return False
    return True


class Log:
    """Writes messages, with fields for programs: to the journal if stderr is connected to it, else to stderr."""

    def __init__(self) -> None:
        self._journal = _is_journal()

    def __call__(self, priority: int, message: str, **fields: str) -> None:
        """Log one message. The field `domain` is CPUTUNE_DOMAIN in the journal, and so on; stderr gets no fields."""
        message = printable(message)
        if self._journal:
            named = {f"CPUTUNE_{name.upper()}": printable(value) for name, value in fields.items() if value}
            entry = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "cputune-guard", **named}
            if _send(_JOURNAL, "".join(f"{name}={value}\n" for name, value in entry.items())):
                return
        with suppress(OSError):  # a closed stderr must not end the guard
            print(f"cputune: {message}", file=sys.stderr, flush=True)


def log_failure(log: Log, domain: str, what: str, error: CpuTuneError) -> None:
    """Log that something could not be done for a domain, and the error's hint."""
    hint = f" (hint: {error.hint})" if error.hint else ""
    log(ERROR, f"{domain}: {what}: {error.message}{hint}", domain=domain, action="failed")


def _is_journal() -> bool:
    """Whether stderr is connected to the journal: JOURNAL_STREAM, systemd.exec(5)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(stderr.st_dev), str(stderr.st_ino))
