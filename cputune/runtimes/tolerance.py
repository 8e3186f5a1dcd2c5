"""One domain that is odd, whatever made it so, does not keep the others from being listed or found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.core.errors import Unsupported
from cputune.core.model import Domain
from cputune.runtimes.users import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from cputune.host.cgroup.cgroups import Cgroups
    from cputune.runtimes.users import User

    T = TypeVar("T")


def tolerantly(
    cgroups: Cgroups,
    subject: str,
    owner: int,
    make: Callable[[], Domain | Iterable[Domain] | None],
    *,
    named: bool = False,
) -> Iterator[Domain]:
    """Yield the domains that `make` finds, mostly one; where it fails, say so in one line about `subject`, and go on.

    Nothing is said of a domain whose cgroup is outside our mount: it is another host's, as it were. With `named`,
    somebody asks for just this one: what is wrong with root's is raised then, but a user's must hide no other.
    """
    try:
        found = make()
        domains = [found] if isinstance(found, Domain) else list(found or ())
    except Exception as error:  # whatever users' records may cause
        if named and not owner:
            raise
        if isinstance(error, Unsupported):
            return
        cgroups.host.problems.add_error(subject, error, owner)
        return
    yield from domains


def each_users(cgroups: Cgroups, runtime: str, make: Callable[[User], T | None]) -> list[T]:
    """Return what `make` finds of each user who is logged in; where it fails, that user's is left out, and said."""
    found = []
    for user in logged_in(cgroups):
        try:
            one = make(user)
        except Exception as error:
            cgroups.host.problems.add_error(f"{runtime} of user {user.uid}", error, user.uid)
            continue
        if one is not None:
            found.append(one)
    return found
