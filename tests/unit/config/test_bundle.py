"""Many configurations in one file: what is exported is imported again, comments and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.containers import MANY, save
from tests.support.fakekernel import FakeKernel


def test_what_is_exported_is_imported_elsewhere_comments_and_all(
    v2: FakeKernel, v1: FakeKernel, cputune: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(MANY)
    assert cputune(v2, "import", str(file)).out == (
        "docker:web: config: quota unset -> 50000\ndocker:web-*: config: shares unset -> 512\n"
    )
    save(v2, "old", "version: 1\nquota: 60000\n")  # says itself nowhere whose it is
    exported = cputune(v2, "export").out
    assert "# half a CPU\n" in exported
    file.write_text(exported)
    other = FakeKernel(tmp_path / "other", v2.kernel)
    assert cputune(other, "import", str(file)).status == 0
    assert cputune(other, "export").out == exported
    assert cputune(v2, "export", "docker:web").out == MANY.partition("---\n")[0]
    assert cputune(v2, "export", "db").status == 6
    assert cputune(v2, "export", "nobody").status == 3


@pytest.mark.parametrize(
    "text",
    [
        '---\nversion: 1\ndomain: "lxc:web"\nquota: 50000\n...\n---\nversion: 1\ndomain: "lxc:db"\nquota: 60000\n',
        '{version: 1, domain: "lxc:web", quota: 50000}\n---\n{version: 1, domain: "lxc:db", quota: 60000}\n',
        '  version: 1\n  domain: "lxc:web"\n  quota: 50000\n---\n  version: 1\n  domain: lxc:db\n  quota: 60000\n',
        '--- {version: 1, domain: "lxc:web", quota: 50000}\n--- {version: 1, domain: "lxc:db", quota: 60000}\n',
    ],
)
def test_documents_of_any_form_are_imported(v2: FakeKernel, cputune: CommandLine, tmp_path: Path, text: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(text)
    assert cputune(v2, "import", str(file)).status == 0
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "web", "--config").out
    assert "vcpu_quota     : 60000\n" in cputune(v2, "schedinfo", "db", "--config").out
    file.write_text(cputune(v2, "export").out)
    assert cputune(v2, "import", str(file)).err.count("this is saved already") == 2


@pytest.mark.parametrize("text", ["{version: 1, quota: 50000}\n", "  version: 1\n  quota: 50000\n"])
def test_a_file_of_any_form_that_says_itself_nowhere_whose_it_is_is_exported(
    v2: FakeKernel, cputune: CommandLine, tmp_path: Path, text: str
) -> None:
    save(v2, "web", text)
    file = tmp_path / "limits.yaml"
    file.write_text(cputune(v2, "export").out)
    assert cputune(v2, "import", str(file)).err == "cputune: lxc:web: nothing to do: this is saved already\n"


def test_a_copy_beside_a_file_is_not_exported(v2: FakeKernel, cputune: CommandLine) -> None:
    save(v2, "web", "version: 1\nquota: 50000\n")
    save(v2, "web~1", 'version: 1\ndomain: "lxc:web"\nquota: 9000\n')
    assert "9000" not in cputune(v2, "export").out
