"""What needs a machine of its own: leave it out elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import leave_out

GUEST_ONLY = Path(__file__).parent / "test_oci.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Containers are started in user-mode-linux alone, where nothing of them can be left behind."""
    if "CPUTUNE_UML" not in os.environ:
        leave_out(config, items, lambda item: item.path == GUEST_ONLY)
