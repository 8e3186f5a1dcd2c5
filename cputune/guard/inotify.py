"""inotify(7) by libc: a queue of the kernel's events about directories. The only module with foreign calls."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

MODIFY, MOVED_TO, CREATE, DELETE = 0x2, 0x80, 0x100, 0x200
OVERFLOW, IGNORED, ISDIR = 0x4000, 0x8000, 0x40000000
_ONLYDIR, _DONT_FOLLOW = 0x01000000, 0x02000000
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 18
"""Bytes read at once: some thousand events."""


class Event(NamedTuple):
    """One of the kernel's events."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue. Raises OSError where the kernel gives none (fs.inotify.max_user_instances)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, directory: str, mask: int) -> int:
        """Watch a directory; the same number again where it is watched already.

        Raises OSError; ENOSPC where the user has no more watches (fs.inotify.max_user_watches).
        """
        path = os.fsencode(directory)
        return self._checked(self._libc.inotify_add_watch(self.fd, path, mask | _ONLYDIR | _DONT_FOLLOW))

    def remove(self, watch: int) -> None:
        """End a watch. The kernel does not by itself for a cgroup that went away: the watch holds its inode."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Event]:
        """What has happened; nothing where nothing has."""
        try:
            data = os.read(self.fd, _BUFFER)
        except BlockingIOError:
            return []
        except OSError as error:
            if error.errno == errno.EINTR:
                return []
            raise
        events = []
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            events.append(Event(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
            at += length
        return events

    def close(self) -> None:
        """Give the queue back."""
        os.close(self.fd)
