"""What shares are on v2: as the version of the OCI runtime converts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.model import Scale
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.runtimes import oci_scale
from tests.support.commandline import CommandLine
from tests.support.hosts import Scratch, lay_out, read

HOST = "debian13-runtimes"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("runc version 1.1.15+ds1\ncommit: 1.1.15+ds1-2+b4\n", (1, 1, 15)),
        ("runc version 1.3.2\n", (1, 3, 2)),
        ("crun version 1.21\ncommit: x\n", (1, 21, 0)),
        ("crun version 1.23.1-dirty\n", (1, 23, 1)),
        ("runc version v2.0.0-rc.1\n", (2, 0, 0)),
        ("", None),
        ("something else\ncrun version 1.21\n", None),
    ],
)
def test_the_version_that_a_runtime_tells(text: str, version: tuple[int, ...] | None) -> None:
    assert oci_scale.parse_version(text) == version


class Versioned(Host):
    """This machine, but for the programs."""

    def __init__(self, folder: Path, said: str) -> None:
        super().__init__("/", str(folder / "config"), str(folder / "state"))
        self.said = said
        self.asked = 0

    def run(self, *_: object, **__: object) -> object:  # type: ignore[override]

        self.asked += 1
        return Completed(0, self.said, "")


@pytest.mark.parametrize(
    ("said", "scale"),
    [
        ("runc version 1.1.15+ds1\n", Scale.OCI_LINEAR),
        ("runc version 1.3.1\n", Scale.OCI_LINEAR),
        ("runc version 1.3.2\n", Scale.OCI),
        ("no version\n", Scale.OCI),
    ],
)
def test_a_program_is_asked_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, scale: Scale
) -> None:
    program = tmp_path / "runc"
    program.write_text("one")
    monkeypatch.setattr(oci_scale, "_FOLDERS", (str(tmp_path),))
    host = Versioned(tmp_path, said)

    hierarchy = Cgroups(lay_out(read("debian13-unified"), tmp_path / "host").host).hierarchy

    def asked() -> Scale:
        cgroups = Cgroups(host)
        cgroups.__dict__["hierarchy"] = hierarchy
        return oci_scale.scale_of(cgroups, "runc")[0]

    assert [asked(), asked()] == [scale, scale]
    assert host.asked == (1 if scale is not Scale.OCI or "1.3.2" in said else 2)
    program.write_text("another")
    host.said = "runc version 1.3.2\n"
    assert asked() is Scale.OCI


def test_a_version_that_cannot_be_told_is_a_guess_that_is_said(scratch: Scratch, cputune: CommandLine) -> None:
    done = cputune(scratch.host, "set", "docker:mydom", "--shares", "512", "--live", "--dry-run")
    assert "cputune: docker:mydom: shares are converted as since runc 1.3.2 and crun 1.23" in done.err
    assert "cpu.weight: 100 -> 59\n" in done.out
    assert "shares" not in cputune(scratch.host, "set", "docker:mydom", "--weight", "5", "--live", "--dry-run").err
