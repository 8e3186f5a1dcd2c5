"""Files of real users below a scratch directory: needs root."""

from __future__ import annotations

import os
from pathlib import Path

USER, OTHER = 4242, 4343
HOME = "/home/mallory"
"""The home of USER."""


class Users:
    """A file system in the making, whose paths are absolute below its root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.chmod(0o755)
        self.folder("/home")
        self.folder(HOME, USER)

    def path(self, path: str) -> Path:
        """Where a path of the host is."""
        return Path(f"{self.root}{path}")

    def folder(self, path: str, uid: int = 0, mode: int = 0o755) -> None:
        """Make a directory of that user's in one that is there."""
        self.path(path).mkdir()
        self.path(path).chmod(mode)
        os.chown(self.path(path), uid, uid)

    def file(self, path: str, text: str = "", uid: int = 0, mode: int = 0o644) -> None:
        """Make a file of that user's in a directory that is there."""
        self.path(path).write_text(text)
        self.path(path).chmod(mode)
        os.chown(self.path(path), uid, uid)

    def link(self, path: str, target: str, uid: int = USER) -> None:
        """Make a symbolic link of that user's."""
        self.path(path).symlink_to(target)
        os.chown(self.path(path), uid, uid, follow_symlinks=False)

    def pipe(self, path: str, uid: int = USER) -> None:
        """Make a FIFO, which nobody writes to."""
        os.mkfifo(self.path(path))
        os.chown(self.path(path), uid, uid)
