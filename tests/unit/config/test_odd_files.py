"""Files and units in a state that nobody means: told or refused, never an unexpected end, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.config.schema import edited, parse
from cputune.config.store import Store
from cputune.core.errors import UsageError
from cputune.core.model import Change
from cputune.host.system import Host
from tests.support.commandline import CommandLine
from tests.support.containers import containers, save
from tests.support.managed import GROUP, UNIT, Managed

NO_CHARACTER = 'version: 1\ndomain: "\\UFFFFFFFF"\n'


def test_a_character_that_is_none_is_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"^f:1: not YAML: "):
        parse("f", NO_CHARACTER)


def test_a_broken_file_does_not_end_the_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "domains/lxc").mkdir(parents=True)
    (tmp_path / "domains/lxc/a b.yaml").write_text(NO_CHARACTER)
    assert [name for name, _ in Store(Host("/", str(tmp_path), "/x")).names()] == ["lxc:a b"]


@pytest.mark.parametrize(
    "text",
    ["version: 1\rquota: 5000\r", "# a\u2028# b\nversion: 1\nquota: 5000\n", "# a\x85# b\nversion: 1\nquota: 5000\n"],
)
def test_ends_of_lines_that_only_yaml_knows_are_read_and_not_edited(text: str) -> None:
    saved = parse("f", text)
    assert saved.change == Change(quota=5000)
    with pytest.raises(UsageError, match=r"^f: not written one `key: value` a line, so it cannot be changed"):
        edited(saved, "lxc:web", Change(quota=6000))


def test_a_file_that_lost_its_name_does_not_hide_the_right_one(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    save(host, "web", "version: 1\nquota: 50000\n")
    save(host, "züg", "version: 1\ndomain: lxc:web\nquota: 60000\n")  # sorted after web.yaml
    assert "quota=50000" in cputune(host, "status").out
    done = cputune(host, "apply")
    assert (done.status, done.out) == (2, "lxc:web: live: quota unlimited -> 50000\n")
    assert "züg.yaml: not the file of lxc:web\n" in done.err


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
@pytest.mark.parametrize("bus", ["of another's cgroup", "deaf"])
def test_a_cgroup_without_controller_that_systemd_cannot_be_told_of(
    tmp_path: Path, cputune: CommandLine, bus: str, arguments: tuple[str, ...]
) -> None:
    host = Managed(tmp_path)
    host.deaf = bus == "deaf"
    if not host.deaf:
        host.cgroup = ""
    for file in Path(host.real(GROUP)).glob("cpu.[!s]*"):
        file.unlink()
    done = cputune(host, "set", UNIT, "--quota", "50000", *arguments)
    assert (done.status, done.out) == (4, "")
    assert done.err == (
        "cputune: error: the cpu controller is not enabled for /system.slice/mydom.service, and systemd cannot be "
        "told to enable it\nhint: systemctl start dbus.socket\n"
    )


def test_a_mistake_in_the_configuration_does_not_hide_what_is_in_force(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    assert cputune(host, "set", "web", "--quota", "30000").status == 0
    save(host, "web", "version: 1\nquuta: 5\n")
    done = cputune(host, "status", "--runtime", "lxc")
    assert "lxc:web  running  1024    100     0.3    0.3" in done.out
    assert "web.yaml:2: unknown key quuta" in done.err


def test_configurations_that_cannot_be_read_are_no_empty_set(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    folder = Path(host.config_dir) / "domains"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(folder)  # what not even root can read
    done = cputune(host, "apply")
    assert (done.status, done.out) == (7, "")
    assert done.err == f"cputune: error: cannot read {folder}: Too many levels of symbolic links\n"


def test_a_weight_that_was_remembered_is_forgotten_when_it_is_restored(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 1)
    for words in (("--shares", "300"), ("--idle",), ("--no-idle",), ("--shares", "700")):
        assert cputune(host, "set", "web", *words).status == 0
    record = Path(host.state_dir, "applied/lxc/web").read_text()
    assert "before-idle" not in record
