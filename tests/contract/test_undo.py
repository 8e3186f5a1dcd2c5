"""The history of changes, and taking them back; and what the next cputune does with a killed one's work."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cputune.app.tuner import Tuner
from cputune.transaction import history_files
from cputune.transaction.checksum import sealed, unsealed
from cputune.transaction.history import History
from cputune.transaction.journal import Journal, Page
from cputune.transaction.locks import Keys, Locks
from tests.support import crash
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc, define_lxc, snapshot
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab

SAVED = "version: 1\n# do not touch\nquota: 50000  # half a CPU\n"


@pytest.fixture(params=["fake-v1", "fake-v2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeKernel:
    host = FakeKernel(tmp_path, FAKES[request.param])
    add_lxc(host, "web")
    add_lxc(host, "db")
    host.put_file("/etc/cputune/domains/lxc/web.yaml", SAVED)
    return host


def quota(host: FakeKernel, name: str) -> str:
    file = "cpu.cfs_quota_us" if host.kernel.version == 1 else "cpu.max"
    return host.read(f"{host.mount}/lxc.payload.{name}/{file}").split()[0].replace("max", "-1")


def write_quota(host: FakeKernel, name: str, value: str) -> None:
    host.write(
        f"{host.mount}/lxc.payload.{name}/{'cpu.cfs_quota_us' if host.kernel.version == 1 else 'cpu.max'}", value
    )


def state(host: FakeKernel) -> dict[str, str]:
    return {path: text for path, text in snapshot(host).items() if not path.endswith("/history")}


# --- taking back ------------------------------------------------------------------------------------------------------


def test_undo_goes_back_change_by_change(lab: Lab, cputune: CommandLine) -> None:
    states = [lab.state()]
    for words in (("--quota", "50000", "--shares", "512"), ("--period", "50000", "--burst", "7000"), ("--cpus", "0.3")):
        assert cputune(lab.host, "set", lab.name(), *words).status == 0
        states.append(lab.state())
    for before in reversed(states[:-1]):
        assert cputune(lab.host, "undo", lab.name()).status == 0
        assert lab.state() == before
    assert cputune(lab.host, "undo", lab.name()) == (
        6,
        "",
        f"cputune: error: no change of {lab.name()} that could be undone is known\n"
        f"hint: cputune history {lab.name()}\n",
    )


def test_undo_of_idle_brings_the_weight_back(lab: Lab, cputune: CommandLine) -> None:
    lab.set(weight=300)
    before = lab.state()
    cputune(lab.host, "set", lab.name(), "--idle")
    assert lab.state().idle
    assert cputune(lab.host, "undo").status == 0
    assert lab.state() == before
    cputune(lab.host, "set", lab.name(), "--idle")
    idle = lab.state()
    cputune(lab.host, "set", lab.name(), "--no-idle")
    assert cputune(lab.host, "undo").status == 0
    assert lab.state() == idle


def test_undo_of_a_family_takes_the_way_that_the_kernel_allows(lab: Lab, cputune: CommandLine) -> None:
    lab.make("a/b", quota=20000)
    lab.put("a", quota=40000)
    before = [lab.state(name) for name in ("a", "a/b")]
    names = [lab.name(name) for name in ("a", "a/b")]
    for value in ("90000", "5000"):
        assert cputune(lab.host, "set", *names, "--quota", value).status == 0
        assert cputune(lab.host, "undo").status == 0
        assert [lab.state(name) for name in ("a", "a/b")] == before


def test_what_was_changed_together_is_taken_back_together_or_a_domain_alone(
    host: FakeKernel, cputune: CommandLine
) -> None:
    before = state(host)
    cputune(host, "set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config")
    both = cputune(host, "undo", "--dry-run")
    assert state(host) != before
    assert sorted(line.split(" ")[0] for line in both.out.splitlines()) == ["save", "save", "write", "write"]
    assert cputune(host, "undo", "db").status == 0
    assert (quota(host, "web"), quota(host, "db")) == ("30000", "-1")
    assert not Path(host.config_dir, "domains/lxc/db.yaml").exists()
    done = cputune(host, "undo")
    assert done.out == "lxc:web: live: quota 30000 -> unlimited\nlxc:web: config: quota 30000 -> 50000\n"
    assert state(host) == before
    assert Path(host.config_dir, "domains/lxc/web.yaml").read_text() == SAVED


@pytest.mark.parametrize("where", ["live", "config"])
def test_what_somebody_else_has_changed_since_is_not_overwritten(
    host: FakeKernel, cputune: CommandLine, where: str
) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live", "--config")
    path = Path(host.config_dir, "domains/lxc/web.yaml")
    if where == "live":
        write_quota(host, "web", "40000")
        what = "lxc:web: quota is 40000, not 30000"
    else:
        path.write_text(SAVED + "burst: 3\n")
        what = f"{path} is another one"
    changed = state(host)
    assert cputune(host, "undo") == (
        6,
        "",
        f"cputune: error: changed since by somebody else: {what}\n"
        "hint: look at it: cputune history; then, if you mean it: cputune undo lxc:web --force\n",
    )
    assert state(host) == changed
    assert cputune(host, "undo", "--force").status == 0
    assert (quota(host, "web"), path.read_text()) == ("-1", SAVED)


def test_what_is_overwritten_by_force_is_in_the_history(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live", "--config")
    write_quota(host, "web", "40000")
    Path(host.config_dir, "domains/lxc/web.yaml").write_text(SAVED.replace("50000", "62000"))
    assert cputune(host, "undo", "--force").out == (
        "lxc:web: live: quota 40000 -> unlimited\nlxc:web: config: quota 62000 -> 50000\n"
    )
    assert "lxc:web: live: quota 40000 -> unlimited\n" in cputune(host, "history").out


def test_only_what_is_gone_is_left_to_be_undone(lab: Lab, cputune: CommandLine) -> None:
    lab.make("short")
    cputune(lab.host, "set", lab.name("short"), "--quota", "30000")
    lab.remove("short")
    ended = cputune(lab.host, "undo")
    assert (ended.status, ended.out) == (6, "")
    assert ended.err.startswith(f"cputune: error: {lab.name('short')}: nothing to take back live: ")


def test_another_knob_that_somebody_else_has_changed_stays(lab: Lab, cputune: CommandLine) -> None:
    cputune(lab.host, "set", lab.name(), "--quota", "30000")
    lab.put(weight=77)
    assert cputune(lab.host, "undo").status == 0
    assert (lab.read("weight"), lab.state().quota) == ("77", lab.cgroups.default().quota)


def test_a_domain_that_was_started_anew_has_nothing_to_take_back_live(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:db", "--quota", "20000")
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live", "--config")
    host.end_process(1011)
    host.remove_all("/lxc.payload.web")
    host.mkdir(f"{host.mount}/lxc.payload.web")
    write_quota(host, "web", "70000")
    done = cputune(host, "undo", "--force")
    assert (done.status, done.out) == (0, "lxc:web: config: quota 30000 -> 50000\n")
    assert done.err.startswith("cputune: lxc:web: nothing to take back live: ")
    assert (quota(host, "web"), quota(host, "db")) == ("70000", "20000")
    assert cputune(host, "undo").status == 0
    assert quota(host, "db") == "-1"


def test_what_is_gone_stands_in_nobodys_way(lab: Lab, cputune: CommandLine) -> None:
    """As the domains of `cputune run`."""
    lab.make("short")
    cputune(lab.host, "set", lab.name(), "--quota", "30000")
    cputune(lab.host, "set", lab.name("short"), "--quota", "30000")
    lab.remove("short")
    done = cputune(lab.host, "undo")
    assert done.status == 0
    assert done.out == f"{lab.name()}: live: quota 30000 -> unlimited\n"
    assert f"{lab.name('short')}: nothing to take back live: " in done.err
    assert cputune(lab.host, "history", lab.name("short")).out.endswith("(gone)\n")


def test_an_ambiguous_name_is_not_guessed(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000")
    host.put_file("/etc/libvirt/lxc/web.xml", "<domain type='lxc'><name>web</name></domain>")
    assert cputune(host, "undo", "web").status == 3
    assert quota(host, "web") == "30000"
    assert cputune(host, "undo", "nobody").status == 3


# --- the history ------------------------------------------------------------------------------------------------------


def test_the_history_tells_who_did_what(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    cputune(host, "set", "web", "--quota", "30000", "--live")
    monkeypatch.delenv("SUDO_USER")
    cputune(host, "set", "db", "--weight", "50", "--config")
    cputune(host, "undo")
    lines = cputune(host, "history").out.splitlines()
    assert [line.strip() for line in lines[1::2]] == [
        "lxc:web: live: quota unlimited -> 30000",
        "lxc:db: config: weight unset -> 50 (taken back)",
        "lxc:db: config: weight 50 -> unset",
    ]
    assert [line[20:] for line in lines[::2]] == [
        "alice as root: cputune set web --quota 30000 --live",
        "root: cputune set db --weight 50 --config",
        "root: cputune undo",
    ]
    assert cputune(host, "history", "lxc:web").out.splitlines() == lines[:2]
    of_web = History(Tuner(host).context).newest_first("lxc:web")
    assert [past for past in History(Tuner(host).context).newest_first() if "lxc:web" in past.entry.domains] == [
        *of_web
    ]
    assert cputune(host, "history", "--last", "1").out.splitlines() == lines[4:]
    (first, second, third) = json.loads(cputune(host, "history", "--json").out)
    assert first["changes"] == [
        {
            "domain": "lxc:web",
            "where": "live",
            "name": "vcpu_quota",
            "from": -1,
            "to": 30000,
            "taken_back": False,
            "gone": False,
        }
    ]
    assert (second["changes"][0]["taken_back"], third["undoes"]) == (True, second["id"])
    assert first["pid"] == os.getpid()
    assert stat.S_IMODE(Path(host.data_dir, "history").stat().st_mode) == 0o600


def history_of(host: FakeKernel, cputune: CommandLine, *words: str) -> list[dict[str, Any]]:
    """The entries of the history, the oldest first."""
    found: list[dict[str, Any]] = json.loads(cputune(host, "history", "--json", *words).out)
    return found


def values(found: list[dict[str, Any]]) -> list[int]:
    return [entry["changes"][0]["to"] for entry in found]


def make_small(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(history_files, name, value)


def size_of(host: FakeKernel) -> int:
    return sum(path.stat().st_size for path in Path(host.data_dir).glob("history*") if path.is_file())


def test_the_history_is_bounded_and_the_newest_stay(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dropped is said once."""
    make_small(monkeypatch, LARGEST=12000, FILE=3000)
    said = []
    for value in range(10000, 10060):
        said.append(cputune(host, "set", "lxc:web", "--quota", str(value), "--live").err)
        assert size_of(host) <= 13000
    found = history_of(host, cputune)
    assert 5 < len(found) < 40
    assert values(found) == list(range(10060 - len(found), 10060))
    assert values(history_of(host, cputune, "--last", "3")) == [10057, 10058, 10059]
    dropped = re.findall(
        r"cputune: the history is full: dropped its (\d+) oldest changes, until 20[-0-9: ]{17}, "
        r"which cannot be undone any more\n",
        "".join(said),
    )
    assert "".join(said).count("\n") == len(dropped) > 5
    assert sum(map(int, dropped)) == 60 - len(found)
    assert cputune(host, "undo").status == 0
    assert quota(host, "web") == "10058"


def test_old_changes_are_dropped(host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at a time, which has 31 days."""
    now, day = time.time_ns, 86400 * 10**9
    said = {}
    for number, days in enumerate((500, 490, 400, 380, 370, 340, 320, 200, 100, 20, 0)):
        monkeypatch.setattr(time, "time_ns", lambda days=days: now() - days * day)
        said[days] = cputune(host, "set", "lxc:web", "--quota", str(10000 + number), "--live").err
    assert [days for days, text in said.items() if text] == [20]
    assert "dropped its 2 oldest changes, until 20" in said[20]
    assert values(history_of(host, cputune)) == list(range(10002, 10011))
    make_small(monkeypatch, LARGE=10)
    assert cputune(host, "set", "lxc:web", "--quota", "20000", "--live").err == ""
    make_small(monkeypatch, LARGE=10**6)
    monkeypatch.setattr(time, "time_ns", lambda: now() + 367 * day)
    assert "dropped its 8 oldest changes" in cputune(host, "set", "lxc:web", "--quota", "20001", "--live").err
    assert values(history_of(host, cputune)) == [10009, 10010, 20001]


@pytest.mark.parametrize("partly", [False, True])
def test_a_large_change_can_be_undone_after_any_number_of_later_ones(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, partly: bool
) -> None:
    """Also where it has been undone in one domain since: that is known for as long as it is."""
    make_small(monkeypatch, LARGEST=6000, FILE=2000, LARGE=1500)
    add_lxc(host, "third")
    names = ("lxc:web", "lxc:db")
    assert cputune(host, "set", *names, "--quota", "30000", "--burst", "1000", "--live").status == 0
    (large,) = Path(host.data_dir, "history.large").iterdir()
    assert stat.S_IMODE(large.stat().st_mode) == 0o600
    if partly:
        assert cputune(host, "undo", "lxc:web").status == 0
    for value in range(10000, 10040):
        assert cputune(host, "set", "lxc:third", "--weight", str(value - 9000), "--live").status == 0
    assert [path.name for path in Path(host.data_dir, "history.large").iterdir()] == [large.name]
    found = history_of(host, cputune)
    assert found[0]["id"] == large.name
    assert len(found) < 20
    assert [change["taken_back"] for change in found[0]["changes"]] == [partly, partly, False, False]
    assert cputune(host, "undo", "lxc:web").status == (6 if partly else 0)
    assert cputune(host, "undo", "lxc:db").status == 0
    assert (quota(host, "web"), quota(host, "db")) == ("-1", "-1")


def test_an_undo_that_was_rolled_back_undoes_no_large_change(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, LARGE=1500)
    assert cputune(host, "set", "lxc:web", "lxc:db", "--quota", "30000", "--live").status == 0
    context = Tuner(host).context
    (past,) = History(context).newest_first()
    entry = past.entry._replace(id=f"{time.time_ns():020d}-9", undoes=past.entry.id, domains=("lxc:web",), changes=())
    history = History(context)
    history.enter(entry, [], sync=False)
    assert [*History(context).newest_first()][-1].standing() == ("lxc:db",)
    history.take_back(entry)
    make_small(monkeypatch, LARGEST=10, FILE=10)
    assert cputune(host, "set", "lxc:web", "--weight", "7", "--live").status == 0
    assert [*History(context).newest_first()][-1].standing() == ("lxc:web", "lxc:db")


def test_of_large_changes_the_newest_stay(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, LARGE=10, LARGEST_OF_LARGE=8000)
    for value in range(10000, 10030):
        assert cputune(host, "set", "lxc:web", "--quota", str(value), "--live").status == 0
        assert sum(path.stat().st_size for path in Path(host.data_dir, "history.large").iterdir()) <= 8000
    found = history_of(host, cputune)
    assert 3 < len(found) < 25
    assert values(found) == list(range(10030 - len(found), 10030))
    make_small(monkeypatch, LARGEST_OF_LARGE=10)
    assert "oldest changes, until" in cputune(host, "set", "lxc:web", "--quota", "9000", "--live").err
    assert values(history_of(host, cputune)) == [9000]


def test_only_as_much_is_read_as_is_shown(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch, FILE=2000)
    for value in range(10000, 10020):
        cputune(host, "set", "lxc:web", "--quota", str(value), "--live")
    for path in Path(host.data_dir).glob("history.*"):
        path.write_bytes(b"damaged, which is noticed where it is read\n")
    ended = cputune(host, "history", "--last", "1")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("\n") == 2


@pytest.mark.parametrize("line", ["{", "[]", '{"done": 5}', '{"done": {"id": 5}}', '{"undone": 5}', "\udcff", "{}" * 3])
def test_a_line_that_makes_no_sense_is_left_out(host: FakeKernel, cputune: CommandLine, line: str) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live")
    with open(Path(host.data_dir, "history"), "a", errors="surrogateescape") as file:
        file.write(sealed(line))
    cputune(host, "set", "lxc:web", "--quota", "40000", "--live")
    assert len(history_of(host, cputune)) == 2
    assert cputune(host, "undo") == (0, "lxc:web: live: quota 40000 -> 30000\n", "")
    assert quota(host, "web") == "30000"


@pytest.mark.parametrize("damage", ["{", "[]\n", "\udcff", "crc32 00000001"])
def test_a_damaged_line_is_named_once_and_moved_aside(host: FakeKernel, cputune: CommandLine, damage: str) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live")
    path = Path(host.data_dir, "history")
    before = path.read_bytes()
    with open(path, "a", errors="surrogateescape") as file:
        file.write(damage)  # mostly without its end, as where the power failed
    assert cputune(host, "set", "lxc:web", "--quota", "40000", "--live").err == ""
    ended = cputune(host, "history")
    (aside,) = Path(host.data_dir, "damaged").iterdir()
    assert ended.err == f"cputune: {path} has damaged lines, which are not used: they are now in {aside}\n"
    assert aside.read_bytes() == damage.strip().encode(errors="surrogateescape") + b"\n"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == 2
    assert values(history_of(host, cputune)) == [30000, 40000]
    assert cputune(host, "undo").err == ""
    assert quota(host, "web") == "30000"


def test_damaged_lines_that_cannot_be_moved_are_named_and_not_used(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live")
    cputune(host, "set", "lxc:web", "--quota", "40000", "--live")
    path = Path(host.data_dir, "history")
    path.write_bytes(path.read_bytes().replace(b"40000", b"40001"))
    Path(host.data_dir, "damaged").write_text("no directory")
    ended = cputune(host, "history", "--json")
    assert values(json.loads(ended.out)) == [30000]
    assert ended.err == (
        f"cputune: {path} has damaged lines, which are not used; cannot move them aside: Not a directory\n"
    )


def test_a_line_that_is_being_written_is_not_damaged(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live")
    path = Path(host.data_dir, "history")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    hold = Locks.hold

    def written(self: Locks, keys: Keys, seconds: float | None = None) -> AbstractContextManager[bool]:
        path.write_bytes(whole)  # by the process that has had the lock until now
        return hold(self, keys, seconds)

    monkeypatch.setattr(Locks, "hold", written)
    ended = cputune(host, "history", "--json")
    assert (values(json.loads(ended.out)), ended.err) == ([30000], "")
    assert not Path(host.data_dir, "damaged").exists()


def test_a_history_that_is_too_large_is_moved_aside(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(host.data_dir, "history")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 3000)
    path.chmod(0o600)
    make_small(monkeypatch, _TOO_LARGE=2000)
    ended = cputune(host, "history")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err.startswith(f"cputune: {path} is damaged and not used: it is now ")
    assert cputune(host, "set", "lxc:web", "--quota", "30000", "--live").err == ""
    assert cputune(host, "undo").err == ""


def test_tasks_that_make_no_sense_are_an_error(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:web", "--quota", "30000", "--live")
    path = Path(host.data_dir, "history")
    content = unsealed(path.read_text())
    assert content
    path.write_text(sealed(content.replace('"CgroupTask"', '"Nonsense"')))
    ended = cputune(host, "undo")
    assert (ended.status, ended.out) == (6, "")
    assert ended.err.endswith("cannot be read: no such task: Nonsense\n")


# --- what a killed one left -------------------------------------------------------------------------------------------


def killed(host: FakeKernel) -> None:
    """web was to get 30000, and has it; the rest is not done."""
    pid = os.fork()
    if pid == 0:
        host.at_write(2, lambda path, text: bool(crash.kill()))  # type: ignore[func-returns-value]
        crash.in_child(host, ("set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert (quota(host, "web"), quota(host, "db")) == ("30000", "-1")


def test_a_dry_run_says_that_it_does_not_start_from_what_is_there(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    before = state(host)
    for words in (("set", "lxc:web", "--quota", "9000", "--dry-run"), ("undo", "--dry-run")):
        ended = cputune(host, *words)
        assert "cputune: a change was cut off, and will be put back first: cputune recover\n" in ended.err
    assert state(host) == before
    assert "put back what process" in cputune(host, "history").err
    assert quota(host, "web") == "-1"


def test_recover_says_what_it_did(host: FakeKernel, cputune: CommandLine) -> None:
    before = state(host)
    killed(host)
    ended = cputune(host, "recover")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err.startswith("cputune: lxc:web, lxc:db: put back what process ")
    assert ended.err.endswith(" and not finished\n")
    assert " (cputune set lxc:web lxc:db --quota 30000 --live --config) had begun at 20" in ended.err
    assert state(host) == before
    assert cputune(host, "history").out.count("(taken back)") == 4
    assert cputune(host, "recover").err == "cputune: nothing to put back\n"


def test_what_somebody_else_has_set_since_the_kill_is_left_alone(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    write_quota(host, "web", "44000")
    ended = cputune(host, "recover")
    assert ended.status == 0
    assert "quota is 44000, which somebody else has set since\n" in ended.err
    assert quota(host, "web") == "44000"


def test_a_knob_that_was_not_to_change_is_not_put_back(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    weight = "cpu.shares" if host.kernel.version == 1 else "cpu.weight"
    host.write(f"{host.mount}/lxc.payload.web/{weight}", "77")
    assert cputune(host, "status").status == 0
    assert (quota(host, "web"), host.read(f"{host.mount}/lxc.payload.web/{weight}")) == ("-1", "77\n")


def test_a_domain_that_was_started_anew_keeps_what_it_has(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    host.end_process(1011)
    host.remove_all("/lxc.payload.web")
    host.mkdir(f"{host.mount}/lxc.payload.web")
    write_quota(host, "web", "30000")
    ended = cputune(host, "recover")
    assert ended.status == 0
    assert "cputune: nothing to put back: " in ended.err
    assert "/lxc.payload.web is gone, or was made anew since\n" in ended.err
    assert quota(host, "web") == "30000"


def test_after_a_reboot_only_what_outlives_it_is_put_back(host: FakeKernel, cputune: CommandLine) -> None:
    before = state(host)
    words = ("set", "lxc:web", "lxc:db", "--quota", "30000", "--live", "--config")
    path = Path(host.config_dir, "domains/lxc/web.yaml")
    for number in range(20, 60):
        crash.attempt(host, words, number, crash.kill)
        if path.read_text() != SAVED:
            break
        assert cputune(host, "recover").status == 0
    assert path.read_text() != SAVED
    host.put_file("/proc/sys/kernel/random/boot_id", "another\n")
    write_quota(host, "web", "30000")
    assert cputune(host, "recover").status == 0
    assert {name: text for name, text in state(host).items() if name.startswith("/etc/cputune")} == {
        name: text for name, text in before.items() if name.startswith("/etc/cputune")
    }
    assert quota(host, "web") == "30000"


def test_a_page_that_cannot_be_read_keeps_others_off_until_it_is_discarded(
    host: FakeKernel, cputune: CommandLine
) -> None:
    page = "/var/lib/cputune/journal/01795572235706755657-99999"
    host.put_file(page, sealed('{"version": 2, "entry": {}, "tasks": []}\n'))
    message = f"{host.real(page)} is not a journal that this cputune can read: version 2"
    hint = f"look at it: head -c 300 {host.real(page)}; to forget it: cputune recover --discard"
    refused = (7, "", f"cputune: error: {message}\nhint: {hint}\n")
    assert cputune(host, "set", "lxc:web", "--quota", "30000", "--live") == refused
    assert cputune(host, "recover") == refused
    assert cputune(host, "status").err.startswith(f"cputune: {message}\n")
    assert cputune(host, "recover", "--discard") == (0, "", f"cputune: forgot what cannot be read: {message}\n")
    assert cputune(host, "set", "lxc:web", "--quota", "30000", "--live").status == 0


def test_what_cannot_be_put_back_is_tried_again_or_given_up(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    host.at_write(1, lambda path, text: True, on=True)  # the kernel says yes, and does nothing
    for words in (("recover",), ("set", "lxc:web", "--weight", "9", "--live")):
        ended = cputune(host, *words)
        assert ended.status == 8
        assert "is in the way; not everything could be put back: " in ended.err
        assert "quota is 30000, not unlimited" in ended.err
        assert ended.err.endswith("hint: cputune recover --discard\n")
    gave_up = cputune(host, "recover", "--discard")
    assert gave_up.status == 0
    assert "cputune: lxc:web, lxc:db: gave up putting back what process " in gave_up.err
    assert gave_up.err.endswith("quota is 30000, not unlimited\n")
    host.heal()
    assert cputune(host, "set", "lxc:web", "--weight", "9", "--live").status == 0
    assert quota(host, "web") == "30000"


def test_one_stuck_transaction_does_not_stop_other_domains(host: FakeKernel, cputune: CommandLine) -> None:
    killed(host)
    add_lxc(host, "third")
    directory = f"{host.mount}/lxc.payload.web"
    host.at_write(1, lambda path, text: path.startswith(directory), on=True)
    assert cputune(host, "set", "lxc:third", "--quota", "9000", "--live").status == 0
    assert quota(host, "third") == "9000"
    assert cputune(host, "set", "lxc:web", "--quota", "9000", "--live").status == 8
    host.heal()
    assert cputune(host, "set", "lxc:web", "--quota", "9000", "--live").status == 0
    assert quota(host, "web") == "9000"


def test_a_page_that_came_to_its_end_meanwhile_hides_no_other_one(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(host)
    pages = Journal.pages
    over = Page(f"{host.state_dir}/journal/0-1", False)
    monkeypatch.setattr(Journal, "pages", lambda journal: [over, *pages(journal)])
    ended = cputune(host, "set", "lxc:db", "--weight", "9", "--live")
    assert ended.status == 0
    assert "put back what process" in ended.err
    assert quota(host, "web") == "-1"


@pytest.mark.parametrize("make", ["link", "folder", "pipe"])
def test_what_is_no_page_is_not_followed(host: FakeKernel, cputune: CommandLine, make: str, tmp_path: Path) -> None:
    path = Path(host.state_dir, "journal", "0-1")
    path.parent.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    if make == "link":
        path.symlink_to(secret)
    elif make == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    ended = cputune(host, "recover")
    assert ended.status in (1, 7)
    assert "Traceback" not in ended.err
    assert cputune(host, "recover", "--discard").status == 0
    assert not os.path.lexists(path)
    assert secret.read_text() == "secret"


def test_a_signal_that_comes_when_all_is_done_comes_too_late(host: FakeKernel, cputune: CommandLine) -> None:
    """What removes the journal also makes it final: nothing may go back without one."""
    words = ("set", "lxc:web", "--quota", "30000", "--live", "--config")
    outcomes = [outcome.status for _, outcome in crash.each_call(host, words, crash.press(signal.SIGTERM))]
    assert outcomes[-1] == 0
    assert quota(host, "web") == "30000"
    define_lxc(host, "later")
