"""The units that people type: CPUs, percents and millicpu; microseconds, milliseconds and seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cputune.core.knobs import KNOB
from tests.support.commandline import CommandLine, error
from tests.support.containers import add_lxc, config_of, snapshot
from tests.support.fakekernel import FakeKernel, Kernel

LIMIT_V2 = "/sys/fs/cgroup/lxc.payload.web/cpu.max"


def applied(host: FakeKernel) -> list[str]:
    """The record of what is in force in web, but for the cgroup's number and what was there before."""
    lines = Path(host.real("/run/cputune/applied/lxc/web")).read_text().splitlines()
    return [line for line in lines if not line.startswith(("inode", "found-", "crc32"))]


# --- live -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "quota", "period"),
    [
        (("--cpus", ".5"), "50000", "100000"),
        (("--cpus", "150%"), "150000", "100000"),
        (("--cpus", "1500m"), "150000", "100000"),
        (("--cpus", "1500m", "--period", "0.02s"), "30000", "20000"),
        (("--quota", "50ms"), "50000", "100000"),
        (("--quota", "50000us", "--period", "0.1s"), "50000", "100000"),
        (("--quota", ".25s", "--period", "1s"), "250000", "1000000"),
    ],
)
def test_a_limit_in_any_unit(
    host: FakeKernel, cputune: CommandLine, words: tuple[str, ...], quota: str, period: str
) -> None:
    assert cputune(host, "set", "web", *words, "--live").status == 0
    shown = cputune(host, "schedinfo", "web", "--live").out
    assert f"vcpu_period    : {period}\nvcpu_quota     : {quota}\n" in shown
    assert sorted(applied(host)) == sorted(
        [f"quota {quota}", *([f"period {period}"] if {"--cpus", "--period"} & {*words} else [])]
    )


@pytest.mark.parametrize("words", [("--cpus", "unlimited"), ("--cpus", "max"), ("--quota", "max"), ("--quota", "-1")])
def test_a_limit_is_lifted(host: FakeKernel, cputune: CommandLine, words: tuple[str, ...]) -> None:
    cputune(host, "set", "web", "--cpus", "150%", "--live")
    assert cputune(host, "set", "web", *words, "--live") == (0, "lxc:web: live: quota 150000 -> unlimited\n", "")


def test_a_burst_with_a_unit(host: FakeKernel, cputune: CommandLine) -> None:
    done = cputune(host, "set", "web", "--quota", "50ms", "--burst", "1.5ms", "--live")
    assert done.out.endswith("lxc:web: live: burst 0 -> 1500\n")


def test_assignments_take_the_same(host: FakeKernel, cputune: CommandLine) -> None:
    words = ("vcpu_quota=50ms", "vcpu_period=.2s", "vcpu_burst=1000us", "cpu_idle=off")
    done = cputune(host, "schedinfo", "web", "--all", *words)
    assert done.status == 0
    assert "vcpu_period    : 200000\nvcpu_quota     : 50000\n" in done.out
    assert "vcpu_burst     : 1000\ncpu_idle       : 0\n" in done.out


WRONG = (
    *(("--cpus", text) for text in ("1.5x", " 50ms", "1e3", "0", "-1", "0%", "0m", "", "1.0000001", "33.33333%")),
    *(("--cpus", text) for text in ("0.0001m", "٣", "１.5", "9" * 10, "9" * 5000, "1 %", "50ms", "Unlimited", "1,5")),
    *(("--quota", text) for text in ("1.5x", " 50ms", "5 0ms", "1e3", "50 ms", "1.0001ms", "50.5", "", "٥٠ms", "50%")),
    *(("--period", text) for text in ("unlimited", "2s", "999us", "0.9ms", "100MS", "9" * 100 + "ms")),
    *(("--burst", text) for text in ("-1", "1m", "max", "0.5us")),
)


@pytest.mark.parametrize(("option", "text"), WRONG, ids=lambda word: word[:20])
def test_what_is_not_exactly_a_value_is_refused_with_the_range(
    v2: FakeKernel, cputune: CommandLine, option: str, text: str
) -> None:
    before = snapshot(v2)
    status, out, err = cputune(v2, "set", "web", option, text, "--live", "--config")
    assert (status, out) == (2, "")
    knob = KNOB[option.removeprefix("--")]
    assert err.startswith(f"cputune: error: {option}: {text!r} is not in range: {knob.range}\nhint: ")
    assert snapshot(v2) == before


# --- saved ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1.5", "150%", "1500m"])
def test_cpus_are_saved_as_they_are_meant(host: FakeKernel, cputune: CommandLine, text: str) -> None:
    assert cputune(host, "set", "web", "--cpus", text, "--config") == (0, "lxc:web: config: cpus unset -> 1.5\n", "")
    assert config_of(host, "web").read_text() == 'version: 1\ndomain: "lxc:web"\ncpus: 1.5\n'
    assert cputune(host, "schedinfo", "web", "--config").out == (
        "Scheduler      : posix\ncpu_shares     : 0\nvcpu_period    : 0\nvcpu_quota     : 150000\n\n"
    )
    [row] = json.loads(cputune(host, "status", "--config", "--json").out)
    assert row["config"] == {"cpus": 1.5}
    assert cputune(host, "set", "web", "--cpus", "1500m", "--config").err.endswith("this is saved already\n")


def test_the_quota_of_saved_cpus_is_that_for_the_saved_period(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "web", "--cpus", "1.5", "--period", "20ms", "--config")
    assert "vcpu_period    : 20000\nvcpu_quota     : 30000\n" in cputune(host, "schedinfo", "web", "--config").out


def test_the_same_file_is_right_where_the_period_is_another(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "web", "--cpus", "1.5", "--config")
    cputune(host, "set", "web", "--period", "20000", "--live")
    assert cputune(host, "apply", "web").out == "lxc:web: live: quota unlimited -> 30000\n"
    assert applied(host) == ["period 20000", "quota 30000"]
    assert cputune(host, "diff", "web") == (0, "", "")
    assert cputune(host, "apply", "web").err.endswith("this is in force already\n")
    cputune(host, "set", "web", "--period", "40000", "--live")
    assert cputune(host, "diff", "web").out == (
        "lxc:web: quota: config 60000, applied 30000, live 30000 (set so by cputune itself)\n"
    )


def test_live_and_config_have_the_same_cpus_each_in_its_terms(v2: FakeKernel, cputune: CommandLine) -> None:
    done = cputune(v2, "set", "web", "--cpus", "50%", "--live", "--config", "--json")
    [outcome] = json.loads(done.out)
    assert outcome["changes"] == [
        {"where": "live", "name": "vcpu_quota", "from": -1, "to": 50000},
        {"where": "config", "name": "cpus", "from": None, "to": 0.5},
    ]
    assert cputune(v2, "undo").out == ("lxc:web: live: quota 50000 -> unlimited\nlxc:web: config: cpus 0.5 -> unset\n")
    assert not config_of(v2, "web").exists()
    assert cputune(v2, "history").out.count("config: cpus unset -> 0.5 (taken back)\n") == 1


def test_a_quota_takes_the_place_of_cpus_and_cpus_that_of_a_quota(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "web", "--quota", "50ms", "--burst", "1ms", "--config")
    assert cputune(host, "set", "web", "--cpus", "max", "--config").out == (
        "lxc:web: config: quota 50000 -> unset\nlxc:web: config: cpus unset -> unlimited\n"
    )
    assert config_of(host, "web").read_text() == 'version: 1\ndomain: "lxc:web"\nburst: 1000\ncpus: unlimited\n'
    assert cputune(host, "schedinfo", "web", "--config").out.endswith("vcpu_quota     : -1\n\n")
    cputune(host, "set", "web", "--quota", "60ms", "--config")
    assert config_of(host, "web").read_text() == 'version: 1\ndomain: "lxc:web"\nburst: 1000\nquota: 60000\n'


def test_a_quota_of_zero_removes_saved_cpus(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "web", "--cpus", "2", "--config")
    assert cputune(host, "set", "web", "--quota", "0", "--config").out == "lxc:web: config: cpus 2 -> unset\n"
    assert not config_of(host, "web").exists()


def test_cpus_that_no_quota_is_for_are_refused_before_they_are_saved(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "web", "--cpus", "5m", "--config") == (
        2,
        "",
        "cputune: error: lxc:web: cpus: 0.005 is a quota of 500 with a period of 100000, below 1000\n"
        "hint: give a longer period: --period 200000\n",
    )
    assert cputune(host, "set", "web", "--cpus", "5m", "--period", ".2s", "--config").status == 0
    assert not cputune(host, "set", "web", "--cpus", "5m", "--period", ".2s", "--config", "--dry-run").out


def test_quota_and_cpus_in_one_file_are_refused_with_its_line(host: FakeKernel, cputune: CommandLine) -> None:
    host.put_file("/etc/cputune/domains/lxc/web.yaml", "version: 1\nquota: 50ms\ncpus: .5\n")
    file = config_of(host, "web")
    message = f"{file}:3:1: quota and cpus cannot both be set: they are two units of one thing"
    assert cputune(host, "apply", "web") == (2, "", error(message, f"$EDITOR {file}"))


def test_a_file_of_many_takes_the_same_units(v2: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    many = tmp_path / "limits.yaml"
    many.write_text("version: 1\ndomain: web\ncpus: 150%\n---\nversion: 1\ndomain: db\nquota: 20ms\nperiod: 0.04s\n")
    assert cputune(v2, "apply", "--file", str(many), "--live").status == 0
    assert v2.read(LIMIT_V2) == "150000 100000\n"
    assert v2.read(LIMIT_V2.replace("web", "db")) == "20000 40000\n"


def test_saved_cpus_go_from_one_host_to_another(v2: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    cputune(v2, "set", "web", "--cpus", "1.5", "--config")
    other = FakeKernel(tmp_path / "other", Kernel(1))
    add_lxc(other, "web")
    file = tmp_path / "limits.yaml"
    file.write_text(cputune(v2, "export").out)
    assert cputune(other, "import", str(file)).out == "lxc:web: config: cpus unset -> 1.5\n"
    assert cputune(other, "apply").out == "lxc:web: live: quota unlimited -> 150000\n"


# --- more than there are ----------------------------------------------------------------------------------------------

MORE = "cputune: lxc:web: 2.5 CPUs are more than the host has: 2\n"


@pytest.mark.parametrize("where", [("--live",), ("--config",), ("--live", "--config"), ()])
def test_more_cpus_than_the_host_has_are_noted_and_taken(
    host: FakeKernel, cputune: CommandLine, where: tuple[str, ...]
) -> None:
    host.cpus = 2
    done = cputune(host, "set", "web", "--cpus", "250%", *where)
    assert (done.status, done.err) == (0, MORE)
    assert cputune(host, "set", "web", "--cpus", "2", *where).err == ""


def test_they_are_noted_when_a_configuration_is_put_into_force(host: FakeKernel, cputune: CommandLine) -> None:
    host.cpus = 2
    host.put_file("/etc/cputune/domains/lxc/web.yaml", "version: 1\ncpus: 2.5\n")
    done = cputune(host, "apply", "web")
    assert (done.status, done.out, done.err) == (0, "lxc:web: live: quota unlimited -> 250000\n", MORE)


def test_a_quota_of_as_many_is_what_was_asked_for(host: FakeKernel, cputune: CommandLine) -> None:
    host.cpus = 2
    assert cputune(host, "set", "web", "--quota", "1s", "--live") == (
        0, "lxc:web: live: quota unlimited -> 1000000\n", ""
    )  # fmt: skip
    assert cputune(host, "set", "web", "--cpus", "unlimited", "--live").err == ""
