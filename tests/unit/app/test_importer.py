"""Many configurations from one file: all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.containers import MANY, snapshot
from tests.support.fakekernel import FakeKernel


def test_import_replaces_nothing_unasked_and_is_all_or_none(
    v2: FakeKernel, cputune: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(MANY)
    cputune(v2, "import", str(file))
    assert cputune(v2, "import", str(file)) == (
        0,
        "",
        "cputune: docker:web: nothing to do: this is saved already\n"
        "cputune: docker:web-*: nothing to do: this is saved already\n",
    )
    file.write_text(MANY.replace("50000", "60000").replace("web-*", "db-*"))
    before = snapshot(v2)
    refused = cputune(v2, "import", str(file))
    assert (refused.status, refused.out) == (6, "")
    assert refused.err.startswith("cputune: error: something else is saved for docker:web\n")
    assert cputune(v2, "import", "--replace", "--dry-run", str(file)).status == 0
    assert snapshot(v2) == before
    assert cputune(v2, "import", "--replace", str(file)).status == 0
    assert "quota: 60000  # of 100000" in cputune(v2, "export").out
    cputune(v2, "undo")
    assert {path: text for path, text in snapshot(v2).items() if "domains" in path} == {
        path: text for path, text in before.items() if "domains" in path
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nquota: 50000\n", "a document without a domain: RUNTIME:NAME"),
        ("version: 1\ndomain: web\nquota: 50000\n", "web is not a domain that a configuration can be saved for"),
        ("version: 1\ndomain: pid:7\nquota: 50000\n", "pid:7 is not a domain that a configuration can be saved for"),
        ("version: 1\ndomain: 'lxc:'\nquota: 50000\n", "lxc: is not a domain that a configuration can be saved for"),
        ("version: 1\ndomain: lxc:web\nquota: 5\n", ":3:8: quota is not in range"),
        (
            "version: 1\ndomain: lxc:web\nquota: 5000\n---\nversion: 1\ndomain: lxc:web\nquota: 6000\n",
            ":5:1: a second document for one domain",
        ),
        ("", "there is no document in it"),
    ],
)
def test_what_cannot_be_imported(v2: FakeKernel, cputune: CommandLine, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(text)
    status, out, err = cputune(v2, "import", str(file))
    assert (status, out) == (2, "")
    assert message in err
    assert cputune(v2, "status", "--config").err == "cputune: nothing is saved\n"


def test_a_unit_is_imported_by_the_name_that_it_is_found_by(
    v2: FakeKernel, cputune: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("version: 1\ndomain: systemd:nginx\nquota: 50000\n")
    assert cputune(v2, "import", str(file)).out == "systemd:nginx.service: config: quota unset -> 50000\n"
    assert (
        cputune(v2, "import", str(file)).err == "cputune: systemd:nginx.service: nothing to do: this is saved already\n"
    )
