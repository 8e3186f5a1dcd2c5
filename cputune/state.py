"""cputune's memory of this boot, below /run/cputune: what was put into force, and the lock that serialises changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from cputune.errors import Refused, from_os_error
from cputune.host import Host
from cputune.model import UNLIMITED, Change, Domain
from cputune.names import file_name

LOCK_SECONDS = 20


class Applied(NamedTuple):
    """What cputune itself put into force in a domain, as it was given."""

    change: Change
    inode: int | None = None
    """Of the cgroup then: another one now means that the domain was started anew."""
    weight: int | None = None
    """The shares (v1) or weight (v2) from before --idle; the kernel forgets them."""


class State:
    """The state directory of one host; made when first written."""

    def __init__(self, host: Host) -> None:
        self.directory = host.state_dir

    def applied(self, domain: Domain) -> Applied | None:
        """What cputune put into force in this domain since boot; None also where the record cannot be read."""
        try:
            fd = os.open(self._record(domain), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(65536)
        return _parse(text)

    def any_applied(self) -> bool:
        """Whether there is any record: a list of many domains need not look for each one's then."""
        return os.path.isdir(os.path.join(self.directory, "applied"))

    def record(self, domain: Domain, applied: Applied | None) -> None:
        """Remember, or forget with None. Raises Refused or NoPermission where the directory cannot be written."""
        path = self._record(domain)
        try:
            if applied is None:
                if os.path.lexists(path):
                    os.unlink(path)
                return
            write_atomically(path, _format(applied), sync=False)
        except OSError as error:
            raise from_os_error(error, f"write {path}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; one change at a time. Raises Refused when another cputune keeps it too long."""
        import fcntl
        import time

        path = os.path.join(self.directory, "lock")
        try:
            os.makedirs(self.directory, mode=0o755, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise from_os_error(error, f"lock {path}") from error
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
                        raise Refused(
                            f"another cputune (process {holder or 'unknown'}) has held {path} for {LOCK_SECONDS} s",
                            f"ps -fp {holder}" if holder else None,
                        ) from None
                    time.sleep(0.02)
            with suppress(OSError):  # only so that others can name us
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            # Not by closing alone: a process forked meanwhile has the same open file, and would keep the lock.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _record(self, domain: Domain) -> str:
        return os.path.join(self.directory, "applied", domain.runtime, file_name(domain.name))


def write_atomically(path: str, text: str, *, sync: bool, like: os.stat_result | None = None) -> None:
    """Replace a file as a whole: write beside it, rename, with `sync` through to the disk. Raises OSError.

    It gets the mode and the owner of the file `like`; without, mode 0644.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    scratch = os.path.join(folder, f".{os.path.basename(path)[:200]}.{os.getpid()}")
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            data = text.encode("utf-8", "surrogateescape")
            while data:
                data = data[os.write(fd, data) :]
            if like is not None:
                os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, like.st_mode & 0o777 if like else 0o644)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(scratch, path)
    except BaseException:
        if os.path.lexists(scratch):
            os.unlink(scratch)
        raise
    if sync:
        sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make renames and removals in a directory last. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _format(applied: Applied) -> str:
    """Plain `key value` lines: read and written on every `set`, so without a parser to load."""
    values = {
        key: "unlimited" if value is UNLIMITED else str(int(value)) for key, value in applied.change.named().items()
    }
    extra = {"inode": applied.inode, "before-idle": applied.weight}
    values |= {key: str(value) for key, value in extra.items() if value is not None}
    return "".join(f"{key} {value}\n" for key, value in values.items())


def _parse(text: str) -> Applied | None:
    found: dict[str, int | object] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value == "unlimited":
            found[key] = UNLIMITED
        elif value.isascii() and value.isdigit():
            found[key] = int(value)
        else:
            return None
    inode, weight = found.pop("inode", None), found.pop("before-idle", None)
    if "idle" in found:
        found["idle"] = bool(found["idle"])
    if not set(found) <= set(Change._fields):
        return None
    return Applied(Change(**found), inode, weight)  # type: ignore[arg-type]
