"""Whatever somebody else wrote: it is explained, in letters that a terminal does not obey, and never a traceback."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from tests.support import crash
from tests.support.commandline import CommandLine, Ended
from tests.support.containers import add_lxc
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.hosts import Scratch, lay_out, read

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
one_host = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
texts = st.text(max_size=30) | st.sampled_from(["\x1b[31mred", "a\0b", "a\nb", "../..", "\udcff", "\ud800", "-x", "💥"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def explained(ended: Ended) -> Ended:
    """A command line that ended as the manual has it."""
    assert 0 <= ended.status <= 8, ended
    assert not CONTROL.search(ended.out + ended.err), ended
    assert "error: unexpected " not in ended.err, ended.err
    assert "Traceback" not in ended.err, ended.err
    return ended


def damaged(text: bytes, data: st.DataObject) -> bytes:
    """The same file, half-written, with other bytes in it, or with other values where it is JSON."""
    kind = data.draw(st.sampled_from(["cut", "bytes", "other", "json", "json"]))
    if kind == "cut":
        return text[: data.draw(st.integers(0, len(text)))]
    if kind == "bytes":
        at = data.draw(st.integers(0, len(text)))
        return text[:at] + data.draw(st.binary(max_size=8)) + text[at + data.draw(st.integers(0, 8)) :]
    if kind == "other":
        return data.draw(st.binary(max_size=200))
    try:
        document = json.loads(text)
    except ValueError:
        lines = text.split(b"\n")
        lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(texts).encode(errors="surrogatepass")
        return b"\n".join(lines)
    return json.dumps(_replaced(document, data)).encode()


def _replaced(value: Any, data: st.DataObject) -> Any:
    """The document with one value in it exchanged."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _replaced(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(value[at], data), *value[at + 1 :]]
    return data.draw(values)


# --- what runtimes and users leave ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A host with a domain of every runtime."""
    return lay_out(read("debian13-runtimes"), tmp_path_factory.mktemp("host"))


@settings(parent=one_host, max_examples=250)
@given(st.data())
def test_any_record_of_a_runtime_may_be_anything(
    everything: Scratch, cputune: CommandLine, data: st.DataObject
) -> None:
    cgroups = Cgroups(everything.host)
    names = [domain.qualified for domain in lookup.domains(cgroups)]
    folders = ("run", "var", "etc", "home")
    files = sorted(file for name in folders for file in everything.path(f"/{name}").rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    file.write_bytes(damaged(before, data))
    try:
        name = data.draw(st.sampled_from(names))
        explained(cputune(everything.host, "status"))
        explained(cputune(everything.host, "status", name))
        explained(cputune(everything.host, "schedinfo", name.partition(":")[2]))
        explained(cputune(everything.host, "set", name, "--quota", "50000", "--dry-run"))
    finally:
        file.write_bytes(before)


@settings(parent=one_host, max_examples=300)
@given(st.data(), texts | st.text(min_size=4000, max_size=5000).map(lambda text: text[:5]) | st.just("x" * 4097))
def test_any_name_is_looked_for_or_refused(
    everything: Scratch, cputune: CommandLine, data: st.DataObject, name: str
) -> None:
    name = name.replace("\udcff", "?") if data.draw(st.booleans()) else name
    prefix = data.draw(st.sampled_from(["", *(f"{runtime}:" for runtime in RUNTIMES)]))
    command = data.draw(st.sampled_from(["status", "schedinfo", "set", "apply", "undo", "history"]))
    options = {"set": ("--quota", "50000", "--dry-run"), "apply": ("--dry-run",), "undo": ("--dry-run",)}
    words = (*options.get(command, ()), "--", prefix + name)
    explained(cputune(everything.host, command, *words))


# --- what cputune itself keeps ----------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> FakeKernel:
    host = FakeKernel(tmp_path / "host", FAKES["fake-v2"])
    add_lxc(host, "web")
    add_lxc(host, "db")
    return host


SET = ("set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config")


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_journal_is_put_back_or_explained(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.chdir(host.root)  # a path in it may have become a relative one
    folder = Path(host.data_dir, "journal")
    page = folder / "01795572235706755657-99999"
    if not Path(host.root, "text").exists():
        killed = crash.attempt(host, SET, 12, crash.kill)
        assert killed.status == -signal.SIGKILL
        (written,) = folder.iterdir()
        written.rename(host.root + "/text")
    page.write_bytes(damaged(Path(host.root, "text").read_bytes(), data))
    page.chmod(0o600)
    ended = explained(cputune(host, "recover"))
    explained(cputune(host, "set", "lxc:web", "--quota", "40000", "--live"))
    explained(cputune(host, "recover", "--discard"))
    assert not list(folder.iterdir()), ended
    assert explained(cputune(host, "set", "lxc:web", "--quota", "50000", "--live")).status == 0


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_history_is_shown_or_left_out(host: FakeKernel, cputune: CommandLine, data: st.DataObject) -> None:
    path = Path(host.data_dir, "history")
    written = Path(host.root, "text")
    if not written.exists():
        assert cputune(host, *SET).status == 0
        path.rename(written)
    path.write_bytes(damaged(written.read_bytes(), data))
    path.chmod(0o600)
    explained(cputune(host, "history"))
    explained(cputune(host, "history", "lxc:web", "--json"))
    explained(cputune(host, "undo", "--dry-run"))
    explained(cputune(host, "set", "lxc:web", "--weight", "5", "--config"))


# --- configurations ---------------------------------------------------------------------------------------------------

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
    host: FakeKernel, cputune: CommandLine, name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, file = Path(host.config_dir, "domains/lxc/web.yaml"), tmp_path / "limits.yaml"
    saved.parent.mkdir(parents=True)
    (saved if form == "saved" else file).write_bytes(EVIL[name])
    words = {"saved": ("apply", "lxc:web"), "file": ("apply", "--file", str(file)), "stdin": ("apply", "--file", "-")}
    if form == "stdin":
        with file.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            ended = cputune(host, *words[form])
    else:
        ended = cputune(host, *words[form])
    assert explained(ended).status in (2, 3), ended  # 3: a name that is none of a domain's
    assert ended.out == ""
    assert host.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "max"


@settings(parent=one_host, max_examples=300)
@given(st.data())
def test_any_file_of_limits_is_applied_or_explained(
    host: FakeKernel, cputune: CommandLine, data: st.DataObject
) -> None:
    good = b"---\nversion: 1\ndomain: lxc:web\nquota: 50000\n---\nversion: 1\ndomain: lxc:db\nweight: 50\nidle: false\n"
    path = Path(host.root, "limits.yaml")
    path.write_bytes(damaged(good, data))
    explained(cputune(host, "apply", "--file", str(path), "--live"))


def test_a_file_of_a_hundred_megabytes_is_not_read(host: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    for path in (Path(host.config_dir, "domains/lxc/web.yaml"), tmp_path / "limits.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(100 << 20)
    assert "larger than 65536 bytes" in explained(cputune(host, "apply", "lxc:web")).err
    assert (
        "larger than 16777216 bytes" in explained(cputune(host, "apply", "--file", str(tmp_path / "limits.yaml"))).err
    )
    assert "larger than 16777216 bytes" in explained(cputune(host, "apply", "--file", "/dev/zero")).err


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o775, 4711), (0o755, 4711)])
def test_what_others_can_change_is_not_obeyed(
    host: FakeKernel, cputune: CommandLine, what: str, mode: int, owner: int
) -> None:
    saved = Path(host.config_dir, "domains/lxc/web.yaml")
    saved.parent.mkdir(parents=True)
    saved.write_text("version: 1\nquota: 50000\n")
    path = saved if what == "file" else saved.parent
    os.chown(path, owner, owner)
    path.chmod(mode)
    for words in (("apply", "lxc:web"), ("apply",), ("schedinfo", "lxc:web", "--config")):
        ended = explained(cputune(host, *words))
        assert ended.status == 5, words
        assert str(path) in ended.err
        assert ended.err.splitlines()[-1].startswith("hint: ch")
    assert host.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "max"


def test_a_link_in_place_of_a_folder_leads_nowhere(host: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    """Of a user's: with what he keeps there root would limit what he likes."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "web.yaml").write_text("version: 1\nquota: 5000\n")
    for path in (theirs, theirs / "web.yaml"):
        os.chown(path, 4711, 4711)
    folder = Path(host.config_dir, "domains")
    folder.mkdir(parents=True)
    (folder / "lxc").symlink_to(theirs)
    assert explained(cputune(host, "apply", "lxc:web")).status == 5
    before = sorted((path.name, path.read_text()) for path in theirs.iterdir())
    assert explained(cputune(host, "set", "lxc:web", "--quota", "6000", "--config")).status == 5
    assert sorted((path.name, path.read_text()) for path in theirs.iterdir()) == before


@pytest.mark.parametrize("folder", ["", "domains", "domains/lxc"])
def test_a_folder_above_that_others_can_write_in_is_as_bad(host: FakeKernel, cputune: CommandLine, folder: str) -> None:
    assert cputune(host, "set", "lxc:web", "--quota", "30000", "--config").status == 0
    path = Path(host.config_dir, folder)
    path.chmod(0o777)
    for words in (("schedinfo", "lxc:web", "--config"), ("set", "lxc:web", "--quota", "6000", "--config")):
        assert explained(cputune(host, *words)).status == 5
    path.chmod(0o755)
    assert cputune(host, "set", "lxc:web", "--quota", "6000", "--config").status == 0


@pytest.mark.parametrize(
    ("base", "folder"), [("config", "domains"), ("config", "domains/lxc"), ("state", "applied"), ("data", "journal")]
)
def test_a_link_to_a_folder_of_roots_own_is_not_followed_either(
    host: FakeKernel, cputune: CommandLine, base: str, folder: str, tmp_path: Path
) -> None:
    words = ("set", "lxc:web", "--live", "--config", "--quota")
    assert cputune(host, *words, "30000").status == 0
    path = Path({"config": host.config_dir, "state": host.state_dir, "data": host.data_dir}[base], folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = {file: file.read_bytes() for file in (tmp_path / "elsewhere").rglob("*") if file.is_file()}
    ended = explained(cputune(host, *words, "6000"))
    assert ended.status == 5
    assert f"{path} is a symbolic link, which is not followed" in ended.err
    assert {file: file.read_bytes() for file in (tmp_path / "elsewhere").rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["journal", "applied", "locks", "history"])
def test_links_planted_where_cputune_writes(host: FakeKernel, cputune: CommandLine, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    where = Path(host.data_dir if name == "history" else host.state_dir)
    where.mkdir(parents=True)
    (where / name).symlink_to(secret)
    ended = explained(cputune(host, "set", "lxc:web", "--quota", "6000", "--live"))
    assert secret.read_text() == "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert ended.status == {"history": 0, "journal": 5}.get(name, 7)
    assert (host.read("/sys/fs/cgroup/lxc.payload.web/cpu.max").split()[0] == "6000") == (ended.status == 0)


def test_random_bytes_everywhere_at_once(everything: Scratch, cputune: CommandLine) -> None:
    """All records of all runtimes damaged together."""
    generator = random.Random(7)
    files = [file for name in ("run", "var", "home") for file in everything.path(f"/{name}").rglob("*")]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    try:
        for _ in range(20):
            for file, text in before.items():
                file.write_bytes(
                    bytes(generator.choices(range(256), k=20)) + text[generator.randrange(len(text) + 1) :]
                )
            explained(cputune(everything.host, "status"))
    finally:
        for file, text in before.items():
            file.write_bytes(text)
