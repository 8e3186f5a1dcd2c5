"""Files and units in a state that nobody means: told or refused, never an unexpected end, nothing lost."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cputune.config.schema import edited, parse
from cputune.config.store import Store
from cputune.core.errors import UsageError
from cputune.core.model import Change
from cputune.host.system import Host
from tests.support.commandline import CommandLine, error
from tests.support.containers import containers, save
from tests.support.fakekernel import FakeKernel
from tests.support.hostile import damaged, explained, one_host
from tests.support.waiting import until

NO_CHARACTER = 'version: 1\ndomain: "\\UFFFFFFFF"\n'


def test_a_character_that_is_none_is_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"^f:1:1: not YAML: "):
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
    with pytest.raises(UsageError, match=r"^f: not written as one `key: value` a line, so it cannot be edited"):
        edited(saved, "lxc:web", Change(quota=6000))


def test_a_file_that_lost_its_name_does_not_hide_the_right_one(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    save(host, "web", "version: 1\nquota: 50000\n")
    save(host, "züg", "version: 1\ndomain: lxc:web\nquota: 60000\n")  # sorted after web.yaml
    assert "quota=50000" in cputune(host, "status").out
    done = cputune(host, "apply")
    assert (done.status, done.out) == (2, "lxc:web: live: quota unlimited -> 50000\n")
    assert "züg.yaml is not the configuration file of lxc:web\n" in done.err


def test_a_mistake_in_the_configuration_does_not_hide_what_is_in_force(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    assert cputune(host, "set", "web", "--quota", "30000").status == 0
    save(host, "web", "version: 1\nquuta: 5\n")
    done = cputune(host, "status", "--runtime", "lxc")
    assert "lxc:web  running  1024    100     0.3    0.3" in done.out
    assert "web.yaml:2:1: unknown key; did you mean quota?" in done.err


def test_configurations_that_cannot_be_read_are_no_empty_set(tmp_path: Path, cputune: CommandLine) -> None:
    host = containers(tmp_path, 2)
    folder = Path(host.config_dir) / "domains"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(folder)  # what not even root can read
    done = cputune(host, "apply")
    assert (done.status, done.out) == (7, "")
    assert done.err == f"cputune: error: cannot read {folder}: Too many levels of symbolic links\n"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


EVIL = {
    "bomb": BOMB.encode(),
    "tag": b'version: 1\ndomain: !!python/object/apply:os.system ["touch /tmp/owned"]\n',
    "list": b"- version: 1\n",
    "types": b"version: 1\ndomain: lxc:web\nquota: [1]\n",
    "twice": b"version: 1\ndomain: lxc:web\nquota: 5000\nquota: 6000\n",
    "latin": b"version: 1\ndomain: lxc:web # \xe4\nquota: 5000\n",
    "deep": b"[" * 100000,
    "deep keys": b"? " * 20000,
    "nul": b"version: 1\0\n",
    "escape": b'version: 1\ndomain: "lxc:\\x1b[31mweb"\nquota: 5000\n',
    "raw escape": b"version: 1\n\x1b[31m: 5\n",
    "long": b"version: 1\ndomain: lxc:web\nquota: " + b"9" * 5000 + b"\n",
    "merge": b"version: 1\n<<: {quota: 5000}\n",
    "documents": b"---\n" * 10000,
    "empty": b"",
    "float": b"version: 1\ndomain: lxc:web\nquota: .inf\n",
}


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("form", ["saved", "file", "stdin"])
def test_no_configuration_is_more_than_an_error(
    v2: FakeKernel, cputune: CommandLine, name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, file = Path(v2.config_dir, "domains/lxc/web.yaml"), tmp_path / "limits.yaml"
    saved.parent.mkdir(parents=True)
    (saved if form == "saved" else file).write_bytes(EVIL[name])
    words = {"saved": ("apply", "lxc:web"), "file": ("apply", "--file", str(file)), "stdin": ("apply", "--file", "-")}
    if form == "stdin":
        with file.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            ended = cputune(v2, *words[form])
    else:
        ended = cputune(v2, *words[form])
    assert explained(ended).status in (2, 3), ended  # 3: a name that is none of a domain's
    assert ended.out == ""
    assert v2.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "max"


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_file_of_limits_is_applied_or_explained(v2: FakeKernel, cputune: CommandLine, data: st.DataObject) -> None:
    good = b"---\nversion: 1\ndomain: lxc:web\nquota: 50000\n---\nversion: 1\ndomain: lxc:db\nweight: 50\nidle: false\n"
    path = Path(v2.root, "limits.yaml")
    path.write_bytes(damaged(good, data))
    explained(cputune(v2, "apply", "--file", str(path), "--live"))


def test_a_file_of_a_hundred_megabytes_is_not_read(v2: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    for path in (Path(v2.config_dir, "domains/lxc/web.yaml"), tmp_path / "limits.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(100 << 20)
    assert "larger than 65536 bytes" in explained(cputune(v2, "apply", "lxc:web")).err
    assert "larger than 16777216 bytes" in explained(cputune(v2, "apply", "--file", str(tmp_path / "limits.yaml"))).err


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_what_is_neither_a_file_nor_a_pipe_is_not_opened(v2: FakeKernel, cputune: CommandLine, path: str) -> None:
    for words in (("apply", "--file", path), ("import", path)):
        assert cputune(v2, *words) == (2, "", error(f"{path}: neither a file nor a pipe", f"ls -ld {path}"))


def test_a_pipe_is_waited_for(v2: FakeKernel, cputune: CommandLine) -> None:
    """As bash's <(...) is one, whose writer may be slow: half of the document comes when the other half was read."""
    ours, theirs = os.pipe()

    def write_slowly() -> None:
        with os.fdopen(theirs, "wb", buffering=0) as pipe:
            pipe.write(b"version: 1\ndomain: lxc:web\n")
            until(lambda: not select.select([ours], [], [], 0)[0])
            pipe.write(b"quota: 50000\n")

    writer = threading.Thread(target=write_slowly)
    writer.start()
    done = cputune(v2, "import", f"/dev/fd/{ours}")
    writer.join()
    os.close(ours)
    assert done == (0, "lxc:web: config: quota unset -> 50000\n", "")


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o775, 4711), (0o755, 4711)])
def test_what_others_can_change_is_not_obeyed(
    v2: FakeKernel, cputune: CommandLine, what: str, mode: int, owner: int
) -> None:
    saved = Path(v2.config_dir, "domains/lxc/web.yaml")
    saved.parent.mkdir(parents=True)
    saved.write_text("version: 1\nquota: 50000\n")
    path = saved if what == "file" else saved.parent
    os.chown(path, owner, owner)
    path.chmod(mode)
    for words in (("apply", "lxc:web"), ("apply",), ("schedinfo", "lxc:web", "--config")):
        ended = explained(cputune(v2, *words))
        assert ended.status == 5, words
        assert str(path) in ended.err
        assert ended.err.splitlines()[-1].startswith("hint: ch")
    assert v2.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "max"


def test_a_link_in_place_of_a_folder_leads_nowhere(v2: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    """Of a user's: with what he keeps there root would limit what he likes."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "web.yaml").write_text("version: 1\nquota: 5000\n")
    for path in (theirs, theirs / "web.yaml"):
        os.chown(path, 4711, 4711)
    folder = Path(v2.config_dir, "domains")
    folder.mkdir(parents=True)
    (folder / "lxc").symlink_to(theirs)
    assert explained(cputune(v2, "apply", "lxc:web")).status == 5
    before = sorted((path.name, path.read_text()) for path in theirs.iterdir())
    assert explained(cputune(v2, "set", "lxc:web", "--quota", "6000", "--config")).status == 5
    assert sorted((path.name, path.read_text()) for path in theirs.iterdir()) == before


@pytest.mark.parametrize("folder", ["", "domains", "domains/lxc"])
def test_a_folder_above_that_others_can_write_in_is_as_bad(v2: FakeKernel, cputune: CommandLine, folder: str) -> None:
    assert cputune(v2, "set", "lxc:web", "--quota", "30000", "--config").status == 0
    path = Path(v2.config_dir, folder)
    path.chmod(0o777)
    for words in (("schedinfo", "lxc:web", "--config"), ("set", "lxc:web", "--quota", "6000", "--config")):
        assert explained(cputune(v2, *words)).status == 5
    path.chmod(0o755)
    assert cputune(v2, "set", "lxc:web", "--quota", "6000", "--config").status == 0
