"""What incus and LXD remember."""

from __future__ import annotations

import pytest

from cputune.runtimes.native.instances import allowance_in


@pytest.mark.parametrize(
    ("text", "allowance"),
    [
        ("container:\n  config:\n    limits.cpu.allowance: 9ms/10ms\n  expanded_config:\n    a: b\n  x: y\n", None),
        ("container:\n  expanded_config:\n    limits.cpu.allowance: 50ms/100ms\n  name: web\n", "50ms/100ms"),
        ("container:\n  expanded_config:\n    a: b\n    limits.cpu.allowance: \"30%\"\n  x: y\n", "30%"),
        ("container:\n  expanded_config:\n  x:\n    limits.cpu.allowance: 9ms/10ms\n", None),
        ("half-writ", None),
    ],
)  # fmt: skip
def test_the_allowance_is_the_one_that_the_profiles_are_in(text: str, allowance: str | None) -> None:
    assert allowance_in(text) == allowance
