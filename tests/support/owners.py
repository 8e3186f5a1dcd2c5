"""Files of several users, told by their paths, where the tests' own user owns all of them."""

from __future__ import annotations

import os
import stat

from cputune.host.foreign import Foreign


class OwnedByPath(Foreign):
    """The files of a host below a folder: what is below one of these directories is its user's, the rest is root's."""

    def __init__(self, root: str, owners: dict[str, int]) -> None:
        super().__init__(root)
        self._owners = owners

    def owner_by_path(self, path: str) -> int:
        """The user id that a path of the host belongs to."""
        return next((uid for folder, uid in self._owners.items() if path.startswith(f"{folder}/")), 0)

    def _status_of(self, fd: int) -> os.stat_result:
        found: list[float] = list(super()._status_of(fd))
        path = os.readlink(f"/proc/self/fd/{fd}").removeprefix(os.path.realpath(self._root))
        found[stat.ST_UID] = self.owner_by_path(path)
        found[stat.ST_MODE] = int(found[stat.ST_MODE]) & ~0o022
        return os.stat_result(found)
