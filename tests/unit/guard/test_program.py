"""What units and hooks name is a program that nobody but root can change, and all that it consists of."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cputune.core.errors import NoPermission, Unsupported
from cputune.guard import program
from cputune.guard.hooks import installer
from cputune.host.system import Host
from tests.support.hooks import BUNDLE
from tests.support.machine import give_up

USER = 4242
PROPERLY = "sudo python3 -m venv /opt/cputune && sudo /opt/cputune/bin/pip install cputune"


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation in a directory below which everything is root's, and no other user can write."""
    if os.geteuid() != 0:
        give_up("only root can make what is only root's")
    with tempfile.TemporaryDirectory(prefix="cputune-test-", dir="/run") as name:
        folder = Path(name)
        for path in ("bin", "python/bin", "lib/cputune/guard", "links"):
            (folder / path).mkdir(parents=True)
        for path in ("python/bin/python3.11", "lib/cputune/__init__.py", "lib/cputune/guard/loop.py", "lib/a.pth"):
            (folder / path).touch(mode=0o755)
        (folder / "bin/python3").symlink_to("../python/bin/python3.11")
        (folder / "bin/cputune").write_text(f"#!{folder}/bin/python3 -sE\nimport cputune\n")
        (folder / "bin/cputune").chmod(0o755)
        (folder / "links/cputune").symlink_to(folder / "bin/cputune")
        monkeypatch.setattr(sys, "argv", [f"{folder}/links/cputune", "guard", "install"])
        monkeypatch.setattr(sys, "executable", f"{folder}/bin/python3")
        monkeypatch.setattr(program, "_folders", lambda _: [f"{folder}/lib"])
        yield folder


def test_a_program_that_only_root_can_change_is_named_as_it_was_called(installation: Path) -> None:
    assert program.trusted_command(Host()) == (f"{installation}/links/cputune",)


LINKS = ("links/cputune", "bin/python3")
OTHERS = (
    "links", "bin", "bin/cputune", "python", "python/bin", "python/bin/python3.11", "lib", "lib/cputune",
    "lib/cputune/__init__.py", "lib/cputune/guard", "lib/cputune/guard/loop.py", "lib/a.pth", ".",
)  # fmt: skip


def give(path: Path) -> None:
    os.chown(path, USER, USER, follow_symlinks=False)


def let_group_write(path: Path) -> None:
    os.chown(path, 0, USER)
    path.chmod(0o775)


CHANGES: dict[str, Callable[[Path], None]] = {
    "given away": give,
    "for a group": let_group_write,
    "for all": lambda path: path.chmod(0o777),
    "for all, as /tmp": lambda path: path.chmod(0o1777),
}


@pytest.mark.parametrize(
    ("name", "change"),
    [*((name, "given away") for name in LINKS), *((name, how) for name in OTHERS for how in CHANGES)],
)
def test_what_another_user_can_change_is_not_named(installation: Path, name: str, change: str) -> None:
    """The mode of a link means nothing; all else counts."""
    path = installation / name
    CHANGES[change](path)
    with pytest.raises(NoPermission) as caught:
        program.trusted_command(Host())
    message = caught.value.message
    assert message.startswith(
        f"root would run {installation}/links/cputune, but {path.resolve() if name == '.' else path} "
    )
    assert caught.value.hint == PROPERLY
    assert caught.value.exit == 5


def test_a_group_of_roots_may_write(installation: Path) -> None:
    (installation / "lib").chmod(0o775)
    assert program.trusted_command(Host())


def test_a_link_out_of_the_packages_counts_as_well(installation: Path) -> None:
    elsewhere = installation / "elsewhere"
    elsewhere.mkdir()
    (installation / "lib/yaml").symlink_to(elsewhere)
    assert program.trusted_command(Host())
    (elsewhere / "back").symlink_to("..")
    (elsewhere / "nowhere").symlink_to("nowhere at all")
    assert program.trusted_command(Host())
    (elsewhere / "loader.py").touch()
    give(elsewhere / "loader.py")
    with pytest.raises(NoPermission, match=r"elsewhere/loader\.py belongs to user 4242"):
        program.trusted_command(Host())


@pytest.mark.parametrize("line", ["#!/usr/bin/env python3", "#! python3", "#!/usr/bin/env -S python3 -I"])
def test_an_interpreter_that_is_looked_for_is_nobodys(installation: Path, line: str) -> None:
    (installation / "bin/cputune").write_text(f"{line}\n")
    with pytest.raises(NoPermission, match="is looked for in the PATH"):
        program.trusted_command(Host())


def test_nothing_is_installed_that_calls_what_a_user_can_change(installation: Path, tmp_path: Path) -> None:
    give(installation / "lib/cputune/guard/loop.py")
    (tmp_path / "config.json").write_text(BUNDLE)
    with pytest.raises(NoPermission, match=r"loop\.py belongs to user 4242"):
        list(installer.install(Host(), "crun", (str(tmp_path),)))
    assert (tmp_path / "config.json").read_text() == BUNDLE


def test_the_units_are_not_written_either(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cputune.guard import unit

    give(installation / "bin")
    monkeypatch.setattr(unit, "_require_systemd", lambda _: None)
    monkeypatch.setattr(unit, "write_atomically", lambda *_, **__: pytest.fail("written"))
    for timer in (False, True):
        with pytest.raises(NoPermission, match="bin belongs to user 4242"):
            list(unit.install(Host(), enforce=False, timer=timer))


def test_the_directories_are_those_of_the_command_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the working directory's nor PYTHONPATH's: a hook has neither."""
    monkeypatch.setenv("PYTHONPATH", "/etc")
    folders = program._folders(Host())
    assert any(folder.endswith("/cputune") for folder in folders)
    assert not {"", ".", "/etc"} & set(folders)


def test_cputune_that_is_not_installed_cannot_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unsupported, match="not installed for /bin/false"):
        program._folders(Host())


def test_a_directory_that_a_runtime_calls_it_in_is_not_imported_from(tmp_path: Path) -> None:
    """As `python -m` does by itself, so that a user's bundle could bring a cputune of its own."""
    fake = tmp_path / "cputune"
    fake.mkdir()
    for name in ("__init__.py", "__main__.py"):
        (fake / name).write_text("print('theirs')\n")
    done = subprocess.run(
        [*program.own_command(), "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("cputune ")
