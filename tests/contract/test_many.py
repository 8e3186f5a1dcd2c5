"""Many domains, one transaction: `set` of several, `apply --file` with different values, whole families of groups."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cputune.core.knobs import UNLIMITED
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc, define_lxc, snapshot
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.lab import Lab


@pytest.fixture(params=["fake-v1", "fake-v2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeKernel:
    host = FakeKernel(tmp_path / "host", FAKES[request.param])
    add_lxc(host, "web")
    add_lxc(host, "db")
    define_lxc(host, "off")
    return host


def documents(wanted: dict[str, dict[str, Any]]) -> str:
    """A file of limits."""
    return "---\n".join(
        f"version: 1\ndomain: {json.dumps(name)}\n" + "".join(f"{key}: {value}\n" for key, value in values.items())
        for name, values in wanted.items()
    )


def quotas(host: FakeKernel) -> dict[str, str]:
    file = "cpu.cfs_quota_us" if host.kernel.version == 1 else "cpu.max"
    return {
        name: host.read(f"{host.mount}/lxc.payload.{name}/{file}").split()[0].replace("max", "-1")
        for name in ("web", "db")
    }


def state(host: FakeKernel) -> dict[str, str]:
    return {path: text for path, text in snapshot(host).items() if not path.endswith("/history")}


# --- a file -----------------------------------------------------------------------------------------------------------


def test_each_domain_gets_what_the_file_says_of_it(host: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(documents({"web": {"quota": 30000}, "lxc:db": {"weight": 50, "quota": 40000}}))
    before = state(host)
    dry = cputune(host, "apply", "--file", str(file), "--dry-run")
    assert (dry.status, len(dry.out.splitlines()), state(host)) == (0, 3, before)
    assert cputune(host, "apply", "--file", str(file)).status == 0
    assert quotas(host) == {"web": "30000", "db": "40000"}
    assert not Path(host.config_dir).exists()
    assert cputune(host, "apply", "--file", str(file)).err.count("nothing to do") == 2
    assert cputune(host, "undo").status == 0
    assert quotas(host) == {"web": "-1", "db": "-1"}
    assert cputune(host, "apply", "--file", str(file), "--live", "--config").status == 0
    assert quotas(host) == {"web": "30000", "db": "40000"}
    assert "vcpu_quota     : 40000" in cputune(host, "schedinfo", "lxc:db", "--config").out


def test_current_is_live_where_the_domain_runs_else_the_config(
    host: FakeKernel, cputune: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(documents({"lxc:web": {"quota": 30000}, "lxc:off": {"quota": 40000}}))
    done = cputune(host, "apply", "--file", str(file))
    assert done.out == "lxc:web: live: quota unlimited -> 30000\nlxc:off: config: quota unset -> 40000\n"
    assert cputune(host, "apply", "--file", str(file), "--live").status == 6


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"lxc:web": {"quota": 30000}, "lxc:nobody": {"quota": 30000}}, 3, "no domain lxc:nobody"),
        ({"lxc:web": {"quota": 30000}, "lxc:db": {"quota": 5}}, 2, "limits.yaml:7:8: quota is not in range"),
        ({"lxc:web": {"quota": 30000}, "web": {"quota": 40000}}, 2, "lxc:web and web are the same domain, lxc:web"),
        (
            {"lxc:web": {"quota": 30000}, "cgroup:/lxc.payload.web": {"weight": 40}},
            2,
            "lxc:web and cgroup:/lxc.payload.web are the same cgroup, /lxc.payload.web, but get different values",
        ),
        ({"lxc:web": {}}, 2, "limits.yaml:1:1: a document without a limit"),
        ({"lxc:web": {"quota": 30000}, "lxc:off": {"quota": 30000}}, 6, "domain lxc:off is not running"),
    ],
)
def test_all_or_none(
    host: FakeKernel, cputune: CommandLine, tmp_path: Path, wanted: dict[str, Any], status: int, said: str
) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(documents(wanted))
    before = state(host)
    ended = cputune(host, "apply", "--file", str(file), "--live")
    assert (ended.status, ended.out) == (status, "")
    assert said in ended.err
    assert state(host) == before


def test_a_file_and_domains_or_a_place_without_a_file(host: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    assert cputune(host, "apply", "--live").status == 2
    assert cputune(host, "apply", "--file", "x", "lxc:web").status == 2
    missing = cputune(host, "apply", "--file", str(tmp_path / "none"))
    assert (missing.status, "no such file" in missing.err) == (2, True)


# --- all or as many as can be -----------------------------------------------------------------------------------------


def test_set_is_all_or_none_unless_it_is_to_go_on(host: FakeKernel, cputune: CommandLine) -> None:
    words = ("set", "lxc:nobody", "lxc:web", "lxc:off", "lxc:db", "--quota", "30000", "--live")
    before = state(host)
    assert cputune(host, *words).status == 3
    assert state(host) == before
    done = cputune(host, *words, "--keep-going")
    assert (done.status, quotas(host)) == (3, {"web": "30000", "db": "30000"})
    assert done.out == "lxc:web: live: quota unlimited -> 30000\nlxc:db: live: quota unlimited -> 30000\n"
    assert "no domain lxc:nobody" in done.err
    assert "domain lxc:off is not running" in done.err
    assert cputune(host, "undo").status == 0  # each is a transaction of its own
    assert quotas(host) == {"web": "30000", "db": "-1"}


def test_apply_goes_on_unless_it_is_to_be_all_or_none(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "lxc:web", "lxc:db", "--quota", "30000", "--config")
    Path(host.config_dir, "domains/lxc/db.yaml").write_text("version: 1\nquota: 5\n")
    before = state(host)
    assert cputune(host, "apply", "--atomic").status == 2
    assert state(host) == before
    assert cputune(host, "apply").status == 2
    assert quotas(host) == {"web": "30000", "db": "-1"}


# --- families ---------------------------------------------------------------------------------------------------------


def family(lab: Lab) -> list[str]:
    """Groups inside one another, three deep."""
    names = ["a", "a/b", "a/b/c", "a/d", "e"]
    for name in names:
        lab.make(name)
    return names


def shuffled(generator: random.Random, names: list[str]) -> dict[str, dict[str, Any]]:
    """Limits that are possible together: none above its parent's; in any order."""
    ratios: dict[str, float] = {"": 4.0}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        above = ratios[name.rpartition("/")[0]]
        if generator.random() < 0.25:
            ratios[name] = above
            found[name] = {"quota": "unlimited", "period": generator.choice([10000, 50000, 100000, 400000])}
            continue
        period = generator.choice([10000, 20000, 50000, 100000, 250000, 1000000])
        quota = max(1000, int(above * generator.choice([0.2, 0.5, 0.9, 1.0]) * period))
        quota = min(quota, int(above * period))
        if quota < 1000:
            quota, period = 100000, max(period, int(100000 / above) + 1)
        if period > 1000000:
            ratios[name] = above
            found[name] = {"quota": "unlimited", "period": 100000}
            continue
        ratios[name] = quota / period
        found[name] = {"quota": quota, "period": period, "burst": generator.choice([0, 0, quota // 2])}
    return dict(generator.sample(sorted(found.items()), len(found)))


def test_any_change_of_a_whole_family_is_put_into_an_order_that_the_kernel_takes(
    lab: Lab, cputune: CommandLine, tmp_path: Path
) -> None:
    """In one transaction; with grown parents, shrunk children and both, whatever the order in the file."""
    generator = random.Random(11)
    names = family(lab)
    file = tmp_path / "limits.yaml"
    for number in range(150):
        wanted = shuffled(generator, names)
        file.write_text(documents({lab.name(name): values for name, values in wanted.items()}))
        before = {name: lab.state(name) for name in names}
        ended = cputune(lab.host, "apply", "--file", str(file))
        assert ended.status == 0, (number, wanted, before, ended.err)
        for name, values in wanted.items():
            quota = UNLIMITED if values["quota"] == "unlimited" else values["quota"]
            assert (lab.state(name).quota, lab.state(name).period) == (quota, values["period"]), (number, name)
        if number % 10 == 0:
            assert cputune(lab.host, "undo").status == 0
            assert {name: lab.state(name) for name in names} == before, number


def test_a_family_stays_together_also_where_it_is_to_go_on(lab: Lab, cputune: CommandLine, tmp_path: Path) -> None:
    for name in ("a", "a/b"):
        lab.make(name)
    lab.put("a", quota=20000)
    file = tmp_path / "limits.yaml"
    wanted = {lab.name("a/b"): {"quota": 80000}, "lxc:nobody": {"quota": 1000}, lab.name("a"): {"quota": 90000}}
    file.write_text(documents(wanted))
    ended = cputune(lab.host, "apply", "--file", str(file), "--keep-going")
    assert ended.status == 3
    assert (lab.state("a").quota, lab.state("a/b").quota) == (90000, 80000)


@pytest.mark.cgroup(1)
def test_a_family_that_cannot_be_says_why(lab: Lab, cputune: CommandLine, tmp_path: Path) -> None:
    for name in ("a", "a/b"):
        lab.make(name)
    file = tmp_path / "limits.yaml"
    file.write_text(documents({lab.name("a/b"): {"quota": 80000}, lab.name("a"): {"quota": 60000}}))
    ended = cputune(lab.host, "apply", "--file", str(file))
    assert (ended.status, ended.out) == (7, "")
    assert "is above the limit of its ancestor" in ended.err or "is below the limit of the group" in ended.err
    assert (lab.state("a").quota, lab.state("a/b").quota) == (UNLIMITED, UNLIMITED)
