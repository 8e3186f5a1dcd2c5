"""The units of the guard."""

from __future__ import annotations

from cputune.guard import unit
from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel


def test_a_unit_says_where_cputune_is() -> None:
    text = unit.unit_text(unit.GUARD, "/opt/x/cputune", enforce=True)
    assert "\nExecStart=/opt/x/cputune guard --enforce\n" in text
    assert "\nType=notify\n" in text
    assert "\nExecStart=cputune guard\n" in unit.unit_text(unit.GUARD, "cputune")
    assert "\nExecStart=/x apply --started --quiet\n" in unit.unit_text("cputune-apply.service", "/x")


def test_without_systemd_there_is_nothing_to_install(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "guard", "install").status == 4
    assert cputune(v2, "guard", "remove").status == 4
    assert cputune(v2, "guard", "--timer").status == 2
    assert cputune(v2, "guard", "install", "--timer", "--enforce").status == 2
    assert cputune(v2, "guard", "elsewhere").status == 2
