"""inotify(7), called through libc with ctypes: a queue of events about directories. The only module to use ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

MODIFY, MOVED_TO, CREATE, DELETE = 0x2, 0x80, 0x100, 0x200
"""What to watch for: IN_MODIFY and so on of <sys/inotify.h>."""
OVERFLOW, IGNORED, ISDIR = 0x4000, 0x8000, 0x40000000
"""What events say besides: events were dropped; the watch has ended; the event is about a directory."""
_ONLYDIR, _DONT_FOLLOW = 0x01000000, 0x02000000
_HEADER = struct.Struct("iIII")
"""struct inotify_event without its name: watch descriptor, mask, cookie, length of the name."""
_BUFFER = 1 << 18
"""Bytes that one read() asks for: enough for several thousand events."""


class Event(NamedTuple):
    """One event: the number of the watch, the IN_... flags, and the name of the file in the directory, if any."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue. Raises OSError, EMFILE if the user has too many (fs.inotify.max_user_instances)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, directory: str, mask: int) -> int:
        """Watch a directory for the events in `mask`; return the number of the watch, of which a directory has one.
        Raises OSError, ENOSPC if the user has too many watches (fs.inotify.max_user_watches).
        """
        path = os.fsencode(directory)
        return self._checked(self._libc.inotify_add_watch(self.fd, path, mask | _ONLYDIR | _DONT_FOLLOW))

    def remove(self, watch: int) -> None:
        """End a watch. For a removed cgroup the kernel does not do that by itself, since the watch keeps its inode."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Event]:
        """Return the events that have arrived, if any; never waits."""
        try:
            data = os.read(self.fd, _BUFFER)
        except BlockingIOError:
            return []
        except OSError as error:
            if error.errno == errno.EINTR:
                return []
            raise
        events = []
        offset = 0
        while offset < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            events.append(Event(watch, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
            offset += length
        return events

    def close(self) -> None:
        """Close the queue."""
        os.close(self.fd)
