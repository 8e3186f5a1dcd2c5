"""What could not be read while domains were looked for: a line each, which ends nothing."""

from __future__ import annotations

_MOST_OF_USER = 5
"""Lines that are said of one user: he can have as much that is odd as he likes."""


class Problems:
    """Collects, by what it is about and whose that is. Each is said once."""

    def __init__(self) -> None:
        self._by_owner: dict[int, dict[str, str]] = {}

    def add(self, subject: str, why: str, owner: int = 0) -> None:
        """Take down why a thing of this owner's (user id) was left out. Of several reasons, the first one counts."""
        self._by_owner.setdefault(owner, {}).setdefault(subject, why)

    def add_error(self, subject: str, error: Exception, owner: int = 0) -> None:
        """Take down what an error says of a thing; of an unforeseen one also its kind."""
        why = error.strerror if isinstance(error, OSError) else getattr(error, "message", None)
        self.add(subject, why or f"it is not as expected ({type(error).__name__}: {str(error)[:100]})", owner)

    def lines(self) -> list[str]:
        """Return what there is to say: of each user, no more than a few lines."""
        found = []
        for owner, reasons in sorted(self._by_owner.items()):
            lines = [f"{subject}: {why}" for subject, why in reasons.items()]
            most = _MOST_OF_USER if owner else len(lines)
            found += lines[:most]
            if len(lines) > most:
                found.append(f"user {owner}: {len(lines) - most} more that cannot be read")
        return found
