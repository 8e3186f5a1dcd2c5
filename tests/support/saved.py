"""A saved configuration of lxc:web."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cputune.config.schema import Saved
from cputune.config.store import Store
from cputune.core.errors import UsageError
from cputune.core.model import Change, Domain

WEB = Domain("lxc", "web", running=True, persistent=True)
HEAD = "version: 1\ndomain: lxc:web\n"


def put(store: Store, text: str | bytes, domain: Domain = WEB) -> Path:
    """A file of a domain, written by hand."""
    path = Path(store.path(domain))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def saved(store: Store, change: Change, domain: Domain = WEB) -> str:
    """Save a change, and return the file's text."""
    store.save(domain, store.load(domain), change)
    return Path(store.path(domain)).read_text()


def configuration_or_mistake(read: Callable[[], Saved]) -> Saved | str:
    """What was read, or the words of the mistake; nothing else may come of it."""
    try:
        return read()
    except UsageError as error:
        return error.message
