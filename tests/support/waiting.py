"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 60
"""In which anything has happened on the busiest machine: a test that waits for longer hangs."""

T = TypeVar("T")


def until(condition: Callable[[], T], tell: Callable[[], object] = str, nap: float = 0.01) -> T:
    """Ask again and again until the answer is true, and return it; fail with what `tell` says if it never is."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, tell()
        time.sleep(nap)
    return found
