"""All saved configurations in memory, so that none has to be read when a container starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from cputune.config.schema import parse
from cputune.config.store import Store, read
from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.model import Change, Domain
from cputune.core.names import by_precedence, fits, is_pattern

_Stamp = tuple[int, ...]


class _File(NamedTuple):
    stamp: _Stamp
    change: Change


class Configurations:
    """What is saved, as of the last `renew`."""

    def __init__(self, complain: Callable[[str, CpuTuneError], None]) -> None:
        self._complain = complain
        self._files: dict[str, _File] = {}
        self._names: dict[str, Change] = {}
        self._patterns: dict[str, list[str]] = {}

    @property
    def runtimes(self) -> frozenset[str]:
        """Those that anything is saved for."""
        return frozenset(name.partition(":")[0] for name in self._names)

    def __len__(self) -> int:
        return len(self._names)

    def renew(self, store: Store) -> None:
        """Read what is new or was changed; a file that is broken counts as empty, and is complained of."""
        files: dict[str, _File] = {}
        names: dict[str, Change] = {}
        try:
            listed = list(store.names())
        except CpuTuneError as error:
            self._complain(store.directory, error)
            return
        for name, path in listed:
            stamp = _stamp(path)
            known = self._files.get(path)
            files[path] = known if known and known.stamp == stamp else _File(stamp, self._read(name, path))
            if path == store.place(name):
                names[name] = files[path].change
            elif path not in self._files:
                self._complain(name, UsageError(f"{path}: not the file of {name}, which is {store.place(name)}"))
        patterns: dict[str, list[str]] = {}
        for name in names:
            runtime, _, own = name.partition(":")
            if is_pattern(own):
                patterns.setdefault(runtime, []).append(own)
        self._files, self._names = files, names
        self._patterns = {runtime: by_precedence(found) for runtime, found in patterns.items()}

    def _read(self, name: str, path: str) -> Change:
        try:
            saved = parse(path, read(path) or "")
            return saved.change if saved.domain in (None, name) else Change()
        except CpuTuneError as error:
            self._complain(name, error)
            return Change()

    def of(self, domain: Domain) -> Change:
        """What counts for a domain: its own file, else the pattern that fits it best; as `Store.effective`."""
        own = self._names.get(domain.qualified)
        if own is not None:
            return own
        patterns = self._patterns.get(domain.runtime, ())
        fitting = next((pattern for pattern in patterns if fits(pattern, domain.name)), None)
        return Change() if fitting is None else self._names[f"{domain.runtime}:{fitting}"]


def _stamp(path: str) -> _Stamp:
    """What tells one text of a file from another."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)
