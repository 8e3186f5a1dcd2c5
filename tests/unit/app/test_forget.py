"""Patterns, what is saved for domains that are not there, forget, export and import: by the command line, on fakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cputune.core.names import by_precedence, fits
from tests.support.commandline import CommandLine
from tests.support.containers import save, snapshot
from tests.support.fakekernel import FakeKernel

# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "fitting"),
    [
        ("web-*", "web-1", True),
        ("web-*", "web-", True),
        ("web-*", "web", False),
        ("*", "1000/web", False),
        ("*/web", "1000/web", True),
        ("web-[0-9]", "web-7", True),
        ("web-[!0-9]", "web-7", False),
        ("w?b", "web", True),
        ("web*", "WEB1", False),
    ],
)
def test_what_a_pattern_fits(pattern: str, name: str, fitting: bool) -> None:
    assert fits(pattern, name) is fitting


def test_the_pattern_that_says_most_counts() -> None:
    assert by_precedence(["*", "web-*", "web-1?", "web-[0-9]", "db-*"]) == ["web-1?", "web-[0-9]", "web-*", "db-*", "*"]


def test_a_pattern_is_saved_and_counts_for_what_it_fits(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config") == (
        0,
        "lxc:w*: config: quota unset -> 50000\n",
        "",
    )
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "lxc:w*").out
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "web", "--config").out
    assert cputune(v2, "apply").out == "lxc:web: live: quota unlimited -> 50000\n"
    assert "quota=50000" in next(line for line in cputune(v2, "status").out.splitlines() if "lxc:web" in line)
    cputune(v2, "set", "lxc:we*", "--quota", "60000", "--config")
    assert cputune(v2, "apply").out == "lxc:web: live: quota 50000 -> 60000\n"


def test_a_file_of_its_own_counts_alone_and_begins_with_what_the_pattern_has(
    v2: FakeKernel, cputune: CommandLine
) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    assert cputune(v2, "set", "web", "--weight", "200", "--config") == (
        0,
        "lxc:web: config: weight unset -> 200\n",
        "cputune: lxc:web: saved on its own from now on, beginning with what lxc:w* has\n",
    )
    cputune(v2, "set", "lxc:w*", "--quota", "70000", "--config")
    out = cputune(v2, "schedinfo", "web", "--config", "--all").out
    assert "vcpu_quota     : 50000\n" in out
    assert "cpu_weight     : 200\n" in out


def test_a_pattern_can_be_saved_for_and_no_more(v2: FakeKernel, cputune: CommandLine) -> None:
    live = cputune(v2, "set", "lxc:w*", "--quota", "50000", "--live")
    assert live == (
        6,
        "",
        "cputune: error: lxc:w* is a pattern, for which something can be saved and no more\n"
        "hint: name the domains; for all of them: cputune set --config\n",
    )
    bare = cputune(v2, "set", "w*", "--quota", "50000", "--config")
    assert bare.status == 2
    assert bare.err.startswith("cputune: error: w*: a pattern needs the runtime whose domains it means\n")
    assert cputune(v2, "set", "cgroup:/w*", "--quota", "50000", "--config").status == 3


# --- status --config, apply --started ---------------------------------------------------------------------------------


def test_what_is_saved_is_listed_whether_its_domain_is_there_or_not(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "status", "--config") == (0, "", "cputune: nothing is saved\n")
    for name in ("web", "old", "never", "d%2A"):
        save(v2, name, "version: 1\nquota: 50000\n")
    rows = json.loads(cputune(v2, "status", "--config", "--json").out)
    assert {row["domain"]: row["state"] for row in rows} == {
        "lxc:web": "running",
        "lxc:old": "stopped",
        "lxc:never": "not there",
        "lxc:d*": "fits 1",
    }
    assert rows[0]["config"] == {"vcpu_quota": 50000}
    out = cputune(v2, "status", "--config").out.splitlines()
    assert out[0].split() == ["DOMAIN", "STATE", "CONFIG", "FILE"]
    assert len(out) == 5
    assert cputune(v2, "status", "--config", "--runtime", "docker").out == ""
    assert cputune(v2, "status", "--config", "web").status == 2


def test_a_broken_file_is_listed_too(v2: FakeKernel, cputune: CommandLine) -> None:
    path = save(v2, "web", "version: 1\nquota: 5\n")
    status, out, err = cputune(v2, "status", "--config")
    assert status == 0
    assert "lxc:web  running  -" in out
    assert err.startswith(f"cputune: {path}:2: quota: '5' is not in range")


def test_apply_started_leaves_alone_what_cputune_has_set_since_the_start(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("web", "db"):
        save(v2, name, "version: 1\nquota: 50000\n")
    cputune(v2, "set", "web", "--quota", "70000", "--live")
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "lxc:db: live: quota unlimited -> 50000\n", "")
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "", "")
    assert cputune(v2, "apply", "--quiet") == (0, "lxc:web: live: quota 70000 -> 50000\n", "")
    assert cputune(v2, "apply", "--started", "--file", "x").status == 2


# --- forget -----------------------------------------------------------------------------------------------------------


def limits(host: FakeKernel) -> dict[str, str]:
    return {path: text for path, text in snapshot(host).items() if "lxc.payload.web/" in path}


def test_forget_live_leaves_nothing_of_cputune(host: FakeKernel, cputune: CommandLine) -> None:
    weight = "--weight" if host.kernel.version == 2 else "--shares"
    file = f"{host.mount}/lxc.payload.web/{'cpu.max' if host.kernel.version == 2 else 'cpu.cfs_quota_us'}"
    host.write(file, "90000")
    before = limits(host)
    cputune(host, "set", "web", "--quota", "50000", "--live", "--config")
    cputune(host, "set", "web", "--quota", "40000", "--burst", "1000", weight, "300", "--live")
    cputune(host, "set", "web", "--idle", "--live")
    assert limits(host) != before
    assert cputune(host, "forget", "web", "--live").status == 0
    assert limits(host) == before
    left = snapshot(host)
    assert not [path for path in left if path.endswith("domains/lxc/web.yaml")]
    assert re.fullmatch(r"inode \d+\n", left["/run/cputune/applied/lxc/web"])  # it was here, and left nothing
    assert cputune(host, "forget", "web", "--live") == (
        6,
        "",
        "cputune: error: nothing is saved or in force for lxc:web\nhint: cputune status --config\n",
    )
    assert cputune(host, "undo").status == 0
    assert "quota=50000" in cputune(host, "status", "web").out
    assert limits(host) != before


def test_what_a_pattern_put_into_force_is_lifted_domain_by_domain(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--cpus", "0.5", "--config")
    status, _, err = cputune(v2, "forget", "lxc:w*", "--live")
    assert status == 2
    assert "cputune: error: --live: lxc:w* is a pattern, and what is in force is lifted domain by domain\n" in err
    assert cputune(v2, "forget", "lxc:w*").status == 0


def test_what_was_taken_back_is_no_drift_while_a_pattern_waits(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--cpus", "0.5", "--config")
    cputune(v2, "apply", "lxc:web")
    assert cputune(v2, "diff").status == 0
    cputune(v2, "forget", "lxc:web", "--live")
    status, out, _ = cputune(v2, "diff")
    assert status == 0
    assert out.endswith("live unlimited (taken back by cputune; from its next start on, or cputune apply)\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("oci:*", "say: oci:runc/*, or crun/*"),
        ("oci:solo", "say: oci:runc/solo, or crun/solo"),
        ("oci:runc/..", "cputune status"),
        ("oci:runc/", "cputune status"),
        ("docker:1000//x", "cputune status"),
        ("docker:..", "cputune status"),
    ],
)
def test_for_a_name_that_no_domain_can_have_nothing_is_saved(
    v2: FakeKernel, cputune: CommandLine, name: str, hint: str
) -> None:
    expected = (2, "", f"cputune: error: no domain can be called {name}\nhint: {hint}\n")
    assert cputune(v2, "set", name, "--cpus", "0.3", "--config") == expected
    file = Path(v2.config_dir) / "all.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"version: 1\ndomain: {name!r}\nquota: 30000\n")
    assert cputune(v2, "import", str(file)) == expected


def test_something_is_saved_for_a_domain_that_is_not_there_so_far(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("oci:runc/web-1", "docker:new"):
        status, out, err = cputune(v2, "set", name, "--quota", "30000", "--config")
        assert (status, out) == (0, f"{name}: config: quota unset -> 30000\n")
        assert err == f"cputune: {name} is not there so far: saved for when it is\n"
    assert "not there" in cputune(v2, "status", "--config").out
    for words in (("set", "new", "--config"), ("set", "cgroup:/new", "--config"), ("set", "docker:new2", "--live")):
        assert cputune(v2, *words, "--cpus", "0.3").status == 3


def test_forget_without_live_leaves_what_is_in_force(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--quota", "50000", "--live", "--config")
    before = snapshot(v2)
    assert cputune(v2, "forget", "web", "--dry-run").out.startswith("save ")
    assert snapshot(v2) == before
    assert cputune(v2, "forget", "web") == (0, "lxc:web: config: quota 50000 -> unset\n", "")
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "web").out


def test_what_was_forgotten_waits_for_the_next_start(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    cputune(v2, "apply")
    assert cputune(v2, "forget", "web", "--live").out == "lxc:web: live: quota 50000 -> unlimited\n"
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "", "")


def test_nothing_of_a_pattern_can_be_removed_for_one_domain(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    done = cputune(v2, "set", "web", "--quota", "0", "--config")
    assert (done.status, done.out) == (6, "")
    assert "is lxc:w*'s, and can only be removed there" in done.err


def test_forget_what_is_not_there_any_more_and_say_where_a_pattern_counts(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("never", "web", "w%2A"):
        save(v2, name, "version: 1\nquota: 50000\n")
    status, out, err = cputune(v2, "forget", "never", "lxc:web")
    assert (status, out.count("\n")) == (0, 2)
    assert err == "cputune: lxc:web: from its next start on it gets what is saved for lxc:w*\n"
    assert cputune(v2, "forget", "lxc:w*").status == 0
    assert cputune(v2, "status", "--config").err == "cputune: nothing is saved\n"
    assert cputune(v2, "forget", "nobody").status == 3


# --- export, import ---------------------------------------------------------------------------------------------------

MANY = """\
version: 1
# half a CPU
domain: "docker:web"
quota: 50000  # of 100000
---
version: 1
domain: "docker:web-*"
shares: 512
"""


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
        ("version: 1\ndomain: web\nquota: 50000\n", "web is no domain that something can be saved for"),
        ("version: 1\ndomain: pid:7\nquota: 50000\n", "pid:7 is no domain that something can be saved for"),
        ("version: 1\ndomain: 'lxc:'\nquota: 50000\n", "lxc: is no domain that something can be saved for"),
        ("version: 1\ndomain: lxc:web\nquota: 5\n", "'5' is not in range"),
        ("version: 1\ndomain: lxc:web\nquota: 5000\n---\nversion: 1\ndomain: lxc:web\nquota: 6000\n", "is there twice"),
        ("", "no document in it"),
    ],
)
def test_what_cannot_be_imported(v2: FakeKernel, cputune: CommandLine, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(text)
    status, out, err = cputune(v2, "import", str(file))
    assert (status, out) == (2, "")
    assert message in err
    assert cputune(v2, "status", "--config").err == "cputune: nothing is saved\n"


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


def test_a_unit_is_imported_by_the_name_that_it_is_found_by(
    v2: FakeKernel, cputune: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("version: 1\ndomain: systemd:nginx\nquota: 50000\n")
    assert cputune(v2, "import", str(file)).out == "systemd:nginx.service: config: quota unset -> 50000\n"
    assert (
        cputune(v2, "import", str(file)).err == "cputune: systemd:nginx.service: nothing to do: this is saved already\n"
    )
