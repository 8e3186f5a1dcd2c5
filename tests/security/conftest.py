"""A host with real users: what they own is theirs by its inode, and what runs as them has their ids."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cputune.host.foreign import Foreign
from tests.support.machine import give_up, leave_out
from tests.support.users import Users

HERE = Path(__file__).parent


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """A scratch host's file system, as root, with the home of one user."""
    if os.geteuid() != 0:
        give_up("only root can make files of other users")
    return Users(tmp_path)


@pytest.fixture
def files(users: Users) -> Foreign:
    return Foreign(str(users.root))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, lambda item: "CPUTUNE_UML" in os.environ and needs_fuse(item))


def needs_fuse(item: pytest.Item) -> bool:
    """User-mode Linux has no FUSE; this machine's kernel and the virtual machine's have."""
    return "fuse_mount" in getattr(item, "fixturenames", ()) and HERE in item.path.parents
