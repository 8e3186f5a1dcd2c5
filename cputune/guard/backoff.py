"""When the guard stops undoing the changes that another program makes again and again. Pure."""

from __future__ import annotations

from collections import defaultdict, deque

MAX_REPAIRS = 3
"""How often one writer's changes to one domain are undone within WINDOW before the domain is left alone."""
WINDOW = 60.0
"""Seconds. Two programs that undo each other's changes do so more than MAX_REPAIRS times in it; a person does not."""


class Backoff:
    """Counts the recent repairs by domain and writer, and remembers which domains are left alone."""

    def __init__(self, max_repairs: int = MAX_REPAIRS, window: float = WINDOW) -> None:
        self.max_repairs = max_repairs
        self.window = window
        self._repairs: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._left_alone: set[str] = set()

    def allows_repair(self, domain: str, writer: str, now: float) -> bool:
        """Whether a change by `writer` may be undone now (in seconds of any clock), which is then counted.

        If not, the domain is left alone from now on, whoever changes it, until `reset`.
        """
        if domain in self._left_alone:
            return False
        repairs = self._repairs[domain, writer]
        while repairs and now - repairs[0] > self.window:
            repairs.popleft()
        if len(repairs) >= self.max_repairs:
            self._left_alone.add(domain)
            return False
        repairs.append(now)
        return True

    def is_left_alone(self, domain: str) -> bool:
        """Whether the domain's changes are no longer undone."""
        return domain in self._left_alone

    def reset(self, domain: str) -> None:
        """Start over: the domain was restarted, or changed through cputune."""
        self._left_alone.discard(domain)
        for key in [key for key in self._repairs if key[0] == domain]:
            del self._repairs[key]
