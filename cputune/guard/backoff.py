"""When to give in: who changes a domain back again and again is not fought for ever. Pure."""

from __future__ import annotations

from collections import defaultdict, deque

MOST = 3
SECONDS = 60.0


class Backoff:
    """How often whose changes were put back, in the last while."""

    def __init__(self, most: int = MOST, seconds: float = SECONDS) -> None:
        self.most = most
        self.seconds = seconds
        self._times: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._left_alone: set[str] = set()

    def may_go_on(self, domain: str, writer: str, now: float) -> bool:
        """Whether to put back once more what `writer` did, at a moment in seconds; False ends it for this domain."""
        if domain in self._left_alone:
            return False
        times = self._times[domain, writer]
        while times and now - times[0] > self.seconds:
            times.popleft()
        if len(times) >= self.most:
            self._left_alone.add(domain)
            return False
        times.append(now)
        return True

    def is_over(self, domain: str) -> bool:
        """Whether a domain is left alone."""
        return domain in self._left_alone

    def forget(self, domain: str) -> None:
        """Begin anew: it was started again, or cputune itself was told something else."""
        self._left_alone.discard(domain)
        for key in [key for key in self._times if key[0] == domain]:
            del self._times[key]
