"""All saved configurations in memory, so that no file has to be read when a container starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from cputune.config.schema import parse
from cputune.config.store import Store, read
from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.model import Change, Domain
from cputune.core.names import by_precedence, fits, is_pattern

_Version = tuple[int, ...]
"""Modification time, size, inode, mode and owner of a file: together they tell one version of it from another."""


class _File(NamedTuple):
    version: _Version
    change: Change


class ConfigCache:
    """The saved configurations, as they were at the last `refresh`."""

    def __init__(self, report: Callable[[str, CpuTuneError], None]) -> None:
        """`report` is called with the domain or directory that an unreadable configuration is about, and the error."""
        self._report = report
        self._files: dict[str, _File] = {}
        """By path."""
        self._changes: dict[str, Change] = {}
        """By RUNTIME:NAME or RUNTIME:PATTERN."""
        self._patterns: dict[str, list[str]] = {}
        """The patterns of each runtime, the one that takes precedence first."""

    @property
    def runtimes(self) -> frozenset[str]:
        """The runtimes for which anything is saved."""
        return frozenset(name.partition(":")[0] for name in self._changes)

    def __len__(self) -> int:
        return len(self._changes)

    def refresh(self, store: Store) -> None:
        """Read the files that are new or have changed. One that cannot be read is reported, and counts as empty."""
        files: dict[str, _File] = {}
        changes: dict[str, Change] = {}
        try:
            listed = list(store.names())
        except CpuTuneError as error:
            self._report(store.directory, error)
            return
        for name, path in listed:
            version = _version(path)
            cached = self._files.get(path)
            files[path] = cached if cached and cached.version == version else _File(version, self._read(name, path))
            if path == store.place(name):
                changes[name] = files[path].change
            elif path not in self._files:
                self._report(name, UsageError(f"{path} is ignored: the file of {name} is {store.place(name)}"))
        patterns: dict[str, list[str]] = {}
        for qualified in changes:
            runtime, _, name = qualified.partition(":")
            if is_pattern(name):
                patterns.setdefault(runtime, []).append(name)
        self._files, self._changes = files, changes
        self._patterns = {runtime: by_precedence(found) for runtime, found in patterns.items()}

    def _read(self, name: str, path: str) -> Change:
        try:
            saved = parse(path, read(path) or "")
            return saved.change if saved.domain in (None, name) else Change()
        except CpuTuneError as error:
            self._report(name, error)
            return Change()

    def effective(self, domain: Domain) -> Change:
        """Return what is saved for a domain: in its own file, else for the pattern that fits best. As `Store`."""
        own = self._changes.get(domain.qualified)
        if own is not None:
            return own
        patterns = self._patterns.get(domain.runtime, ())
        best = next((pattern for pattern in patterns if fits(pattern, domain.name)), None)
        return Change() if best is None else self._changes[f"{domain.runtime}:{best}"]


def _version(path: str) -> _Version:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode, status.st_uid)
