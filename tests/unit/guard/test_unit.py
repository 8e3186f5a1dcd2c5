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


def test_a_percent_sign_in_the_path_of_cputune_is_no_specifier_of_systemds() -> None:
    assert "\nExecStart=/opt/50%%/cputune guard\n" in unit.unit_text(unit.GUARD, "/opt/50%/cputune")


def test_both_services_are_confined_alike() -> None:
    own = {"Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "WatchdogSec", "Nice", "OOMScoreAdjust"}

    def confined(name: str) -> list[str]:
        lines = unit.unit_text(name, "/x").partition("[Service]\n")[2].partition("\n[")[0].splitlines()
        return [line for line in lines if line and not line.startswith("#") and line.partition("=")[0] not in own]

    assert confined("cputune-apply.service") == confined(unit.GUARD)
    assert len(confined(unit.GUARD)) > 20


def test_without_systemd_there_is_nothing_to_install(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "guard", "install").status == 4
    assert cputune(v2, "guard", "remove").status == 4
    assert cputune(v2, "guard", "--timer").status == 2
    assert cputune(v2, "guard", "install", "--timer", "--enforce").status == 2
    assert cputune(v2, "guard", "elsewhere").status == 2
