"""What cputune has put into force since boot, as records below /run/cputune."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from cputune.core.errors import CpuTuneError, from_os_error
from cputune.core.knobs import KNOB, Value
from cputune.core.model import Change, Domain
from cputune.core.names import file_name
from cputune.core.units import parse_integer
from cputune.host.files import require_trusted, require_trusted_path, write_atomically
from cputune.host.system import STATE_DIR, Host
from cputune.transaction.checksum import sealed, set_aside, unsealed

_RECORDS = "applied"
_FOUND = "found-"


class AppliedRecord(NamedTuple):
    """What cputune put into force in a domain, in the units in which it was given."""

    change: Change
    inode: int | None = None
    """Of the cgroup's directory: if it has another number now, the domain was restarted."""
    weight: int | None = None
    """The shares (v1) or weight (v2) from before --idle, which the kernel forgets."""
    found: Change = Change()
    """The values from before cputune first set each knob of this cgroup, in the kernel's units."""


class Version(NamedTuple):
    """Tells one writing of a record from the next, also of the same values, and which of two records is the newer."""

    written: int
    """Nanoseconds since 1970, by a clock that may stand still for as long as 10 ms."""
    inode: int
    """Of the record's own file, which each writing replaces while the one before still has its number."""


class AppliedRecords:
    """The records in the state directory of one host, which is made when one is first written."""

    def __init__(self, host: Host, say: Callable[[str], None] = lambda _: None) -> None:
        self.say = say
        """Called with what a user should know: a record is damaged."""
        self.directory = host.state_dir
        self.others = [] if host.state_dir != host.own_state_dir else [host.real(STATE_DIR)]
        self._told: set[str] = set()
        """Records that cannot be used or moved aside, of which that has been said."""
        self._ours: set[str] = set()
        """Folders that only root, or the user himself, can write to, as this process has checked."""

    @property
    def folder(self) -> str:
        """The folder of the records. It has one folder per runtime, with one file per domain (`names.file_name`)."""
        return os.path.join(self.directory, _RECORDS)

    def names(self) -> list[tuple[str, str]]:
        """The runtime and file name of every record: root's, and the user's own."""
        found: dict[tuple[str, str], None] = {}
        for folder in (self.directory, *self.others):
            top = os.path.join(folder, _RECORDS)
            for runtime in _names(top):
                found.update(dict.fromkeys((runtime, name) for name in _names(os.path.join(top, runtime))))
        return [(runtime, name) for runtime, name in found if not name.startswith(".")]

    def of(self, domain: Domain) -> AppliedRecord | None:
        """What cputune put into force in this domain since boot; None also if the record cannot be used.

        Of root's record and the user's own, the newer one counts.
        """
        newest = self.newest(domain)
        return newest[1] if newest else None

    def newest(self, domain: Domain) -> tuple[Version, AppliedRecord | None] | None:
        """The newest record of a domain, and which version of it this is; None if there is none."""
        return self.newest_in(domain.runtime, file_name(domain.name))

    def newest_in(self, runtime: str, file: str) -> tuple[Version, AppliedRecord | None] | None:
        """The same, by runtime and file name as `names` lists them."""
        name = os.path.join(_RECORDS, runtime, file)
        if not self.others:
            return self._read(os.path.join(self.directory, name))
        read = [self._read(os.path.join(folder, name)) for folder in (self.directory, *self.others)]
        return max(filter(None, read), key=lambda found: found[0], default=None)

    def _read(self, path: str) -> tuple[Version, AppliedRecord | None] | None:
        """A record and its version; None if it is not there or cannot be used. A damaged one is named and set aside."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
            require_trusted(path, found)
            text = unsealed(os.read(fd, 65536).decode("utf-8", "surrogateescape"))
            if text is None:
                self.say(set_aside(path, path[: path.rindex(f"/{_RECORDS}/")], fd))
                return None
            return Version(found.st_mtime_ns, found.st_ino), _parse(text)
        except CpuTuneError as error:
            if path not in self._told:  # it stays, and is read more than once
                self._told.add(path)
                self.say(error.message)
            return None
        except OSError:
            return None
        finally:
            os.close(fd)

    def write(self, domain: Domain, record: AppliedRecord | None) -> None:
        """Write the record of a domain; None removes it. Raises Refused, NoPermission."""
        path = self.path(domain)
        try:
            self._require_trusted_path(path)
            if record is None:
                if os.path.lexists(path):
                    os.unlink(path)
                return
            write_atomically(path, sealed(_format(record)), sync=False)
        except OSError as error:
            raise from_os_error(error, f"write {path}") from error

    def _require_trusted_path(self, path: str) -> None:
        folder = os.path.dirname(path)
        if folder not in self._ours:
            require_trusted_path(path, 2)
            self._ours.add(folder)

    def path(self, domain: Domain) -> str:
        """The file of a domain's record."""
        return os.path.join(self.directory, _RECORDS, domain.runtime, file_name(domain.name))


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _format(record: AppliedRecord) -> str:
    """The record as `key value` lines: every `set` reads and writes one, and should not have to load a parser."""
    values = {key: KNOB[key].format(value) for key, value in record.change.named().items()}
    extra = {"inode": record.inode, "before-idle": record.weight}
    values |= {key: str(value) for key, value in extra.items() if value is not None}
    values |= {f"{_FOUND}{key}": KNOB[key].format(value) for key, value in record.found.named().items()}
    return "".join(f"{key} {value}\n" for key, value in values.items())


def _parse(text: str) -> AppliedRecord | None:
    """Parse a record; None if one of its lines makes no sense."""
    changed: dict[str, Value] = {}
    found: dict[str, Value] = {}
    extra: dict[str, int] = {}
    for line in text.splitlines():
        name, _, word = line.partition(" ")
        knob = KNOB.get(name.removeprefix(_FOUND))
        value, number = knob.kind.read(word) if knob else None, parse_integer(word)
        if knob and value is not None and word == knob.format(value):
            (found if name.startswith(_FOUND) else changed)[knob.key] = value
        elif name in ("inode", "before-idle") and number is not None and number >= 0:
            extra[name] = number
        else:
            return None
    return AppliedRecord(Change(**changed), extra.get("inode"), extra.get("before-idle"), Change(**found))
