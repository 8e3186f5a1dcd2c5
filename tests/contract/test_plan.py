"""What `--dry-run` prints is what is done: every write, call to systemd, saved file and runtime's command, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cputune.host.programs import Completed
from cputune.planning import planner
from cputune.planning.plan import Plan
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc, save, two_containers
from tests.support.fakedocker import IDS, Docker
from tests.support.fakekernel import FAKES, FakeKernel
from tests.support.fakesystemd import INFINITY, FakeSystemd
from tests.support.lab import Lab, RealHost, opened
from tests.support.recorder import Event, differences, parsed, recorded

Values = dict[str, Any]
V1, V2 = pytest.mark.cgroup(1), pytest.mark.cgroup(2)


def check(
    host: FakeKernel | RealHost, cputune: CommandLine, *words: str, directories: Sequence[str] = ()
) -> list[Event]:
    """Give a command, and see that it does what it has printed before; what it did."""
    dry = cputune(host, *words, "--dry-run", "--json")
    assert dry.status == 0, dry.err
    printed = parsed(cputune(host, *words, "--dry-run").out)
    with recorded(host, directories) as events:
        done = cputune(host, *words, "--json")
    assert (done.status, done.err) == (0, dry.err)
    assert differences(events, printed) == []
    assert json.loads(done.out) == json.loads(dry.out)
    of_domains = [without_before(outcome["steps"]) for outcome in json.loads(dry.out)]
    assert all(is_part_of(steps, printed) for steps in of_domains)
    assert len(printed) == sum(map(len, of_domains))
    return events


def without_before(steps: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: text for key, text in step.items() if key != "from"} for step in steps]


def is_part_of(steps: list[dict[str, str]], printed: list[dict[str, str]]) -> bool:
    """Whether a domain's steps are among those of all domains, in the same order."""
    rest = iter(printed)
    return all(step in rest for step in steps)


# --- one cgroup -------------------------------------------------------------------------------------------------------

LIMITED: Values = {"quota": 50000, "burst": 20000}
CHANGES: list[tuple[Values, str]] = [
    ({}, "--shares 512"),
    ({}, "--weight 300"),
    ({"weight": 300}, "--weight 300"),
    ({}, "--quota 50000"),
    ({}, "--cpus 1.5"),
    ({}, "--cpus 0.25 --period 20000"),
    ({}, "--period 20000"),
    ({}, "--quota 30000 --period 50000 --burst 10000 --weight 40"),
    ({}, "--idle"),
    ({"weight": 300}, "--idle --quota 5000"),
    ({"idle": True}, "--no-idle"),
    ({"idle": True}, "--no-idle --shares 2048 --quota 5000"),
    (LIMITED, "--quota unlimited"),
    (LIMITED, "--quota unlimited --burst 0"),
    (LIMITED, "--quota 80000"),
    (LIMITED, "--quota 20000"),
    (LIMITED, "--quota 10000 --burst 10000"),
    (LIMITED, "--period 200000"),
    (LIMITED, "--quota 5000 --period 10000 --burst 0"),
    (LIMITED, "--quota 5000 --period 10000 --burst 5000 --weight 7"),
    (LIMITED, "--quota 500000 --period 1000000 --burst 500000"),
    (LIMITED, "--burst 5"),
    (LIMITED, "--weight 10000"),
]


@pytest.mark.parametrize(("before", "words"), CHANGES, ids=str)
def test_a_change_of_one_cgroup_and_back(lab: Lab, cputune: CommandLine, before: Values, words: str) -> None:
    lab.put(**before)
    state = lab.state()
    if check(lab.host, cputune, "set", lab.name(), *words.split()):
        check(lab.host, cputune, "undo")
    assert lab.state() == state


def test_taking_back_what_somebody_else_has_changed_since(lab: Lab, cputune: CommandLine) -> None:
    lab.put(quota=50000, burst=20000, weight=300)
    check(lab.host, cputune, "set", lab.name(), "--quota", "30000", "--weight", "40")
    lab.put(quota=90000, period=50000, burst=9000, weight=7)
    assert check(lab.host, cputune, "undo", "--force")


def test_what_another_process_writes_meanwhile_is_corrected_and_that_is_said(
    tmp_path: Path, cputune: CommandLine
) -> None:
    host = FakeKernel(tmp_path, FAKES["fake-v2"])
    with opened(Lab(host)) as lab:

        def faster(_path: str, _text: str) -> bool:
            Path(host.real(lab.file("weight"))).write_text("7\n")
            return False

        host.at_write(2, faster)
        done = cputune(host, "set", lab.name(), "--weight", "300", "--quota", "50000")
        file = host.real(lab.file("weight"))
        assert (done.status, lab.read("weight")) == (0, "300")
        assert done.err == f"cputune: {file} had 7 after the planned writes, so 300 was written as well\n"


# --- several ----------------------------------------------------------------------------------------------------------

FAMILY = ("a", "a/b", "a/b/c", "d")


@pytest.mark.parametrize("words", ["--quota 90000", "--quota 5000", "--quota 20000 --period 10000", "--weight 7"])
def test_nested_groups_and_back(lab: Lab, cputune: CommandLine, words: str) -> None:
    lab.make("a/b/c", quota=20000)
    lab.make("d", quota=70000)
    lab.put("a", quota=40000, burst=1000)
    before = [lab.state(name) for name in FAMILY]
    assert check(lab.host, cputune, "set", *map(lab.name, FAMILY), *words.split())
    assert check(lab.host, cputune, "undo", "--force")
    assert [lab.state(name) for name in FAMILY] == before


def test_different_limits_from_a_file(lab: Lab, cputune: CommandLine, tmp_path: Path) -> None:
    lab.make("a/b", quota=20000)
    lab.put("a", quota=40000)
    wanted = {"a": "quota: 8000\nweight: 9\n", "a/b": "quota: 4000\nperiod: 50000\nburst: 3000\n", "": "idle: true\n"}
    file = tmp_path / "limits.yaml"
    file.write_text(
        "---\n".join(f"version: 1\ndomain: {json.dumps(lab.name(name))}\n{text}" for name, text in wanted.items())
    )
    assert check(lab.host, cputune, "apply", "--file", str(file))
    assert check(lab.host, cputune, "undo")


# --- live, saved, and remembered --------------------------------------------------------------------------------------

each_kernel = pytest.mark.parametrize("kernel", FAKES)


@pytest.fixture
def host(kernel: str, tmp_path: Path) -> FakeKernel:
    """Two LXC containers: web, limited, with a saved configuration; and db, idle."""
    return two_containers(tmp_path / "host", FAKES[kernel], "version: 1\n# do not touch\nquota: 50000\n")


@each_kernel
@pytest.mark.parametrize("native", [(), ("--native",)])
def test_live_and_saved_of_two_containers(host: FakeKernel, cputune: CommandLine, native: tuple[str, ...]) -> None:
    words = ("--quota", "5000", "--period", "10000", "--burst", "1000", "--weight", "200", "--no-idle")
    done = check(host, cputune, "set", "lxc:web", "lxc:db", *words, "--live", "--config", *native)
    assert {do for do, _, _ in done} == {"write", "save", *(["edit"] if native else [])}
    assert check(host, cputune, "undo", "db")
    assert check(host, cputune, "undo")


@each_kernel
def test_what_is_saved(host: FakeKernel, cputune: CommandLine, tmp_path: Path) -> None:
    add_lxc(host, "third")
    save(host, "db", "version: 1\nweight: 50\nidle: false\n")
    save(host, "t*", "version: 1\nquota: 9000\n")
    assert check(host, cputune, "apply")
    assert check(host, cputune, "set", "lxc:third", "--weight", "5", "--config")
    assert check(host, cputune, "forget", "lxc:third")
    assert check(host, cputune, "forget", "lxc:db", "--live")
    file = tmp_path / "exported"
    file.write_text("version: 1\ndomain: lxc:third\nquota: 7000\n")
    assert check(host, cputune, "import", str(file))
    assert check(host, cputune, "apply", "--file", str(file), "--live", "--config", "--keep-going")
    assert check(host, cputune, "undo", "--force")


@each_kernel
@pytest.mark.parametrize(
    "words",
    ["--quota 50000", "--shares 512", "--quota unlimited", "--period 20000 --quota 7000 --weight 300"],
)
def test_docker_that_writes_more_than_it_is_told(kernel: str, tmp_path: Path, cputune: CommandLine, words: str) -> None:
    docker = Docker(tmp_path, kernel)
    docker.remember(IDS[0], CpuQuota=20000, CpuPeriod=50000)
    docker.force(IDS[0], 41000, 100000)
    live = ("--live", "--config", "--native")
    done = check(docker, cputune, "set", "docker:web", "docker:db", *words.split(), *live)
    assert [do for do, _, _ in done].count("run") == (1 if "unlimited" in words else 2)  # db has no limit
    assert check(docker, cputune, "undo")


# --- through systemd --------------------------------------------------------------------------------------------------

UNIT = "mydom.service"
CGROUP = f"/system.slice/{UNIT}"
HELD: dict[str, dict[str, int]] = {
    "nothing": {},
    "a limit": {"CPUQuotaPerSecUSec": 500_000, "CPUQuotaPeriodUSec": 50_000},
    "a weight": {"CPUWeight": 300, "CPUShares": INFINITY},
    "all": {"CPUQuotaPerSecUSec": 500_000, "CPUWeight": 300},
}
UNIT_CHANGES = [
    "--quota 33333",
    "--quota 33333 --period 99999 --weight 40",
    "--quota unlimited",
    "--quota 1000 --period 1000000 --burst 0",
    "--period 20000",
    "--weight 40",
    "--shares 700",
    "--burst 700",
    "--quota 10000 --burst 5000",
    "--idle",
]
RAW: list[tuple[Values, str]] = [
    ({}, "as systemd has it"),
    ({"quota": 60000, "burst": 30000}, "limited by hand"),
    ({"weight": 77, "quota": 40000, "period": 20000, "burst": 9000}, "all by hand"),
]


class Managed:
    """A fake kernel with a unit in it, and what the kernel has besides what systemd holds."""

    def __init__(self, folder: Path, kernel: str, held: dict[str, int], raw: Values) -> None:
        self.host = FakeKernel(folder, FAKES[kernel])
        self.systemd = FakeSystemd(self.host)
        self.systemd.start(UNIT, CGROUP, held)
        self.lab = Lab(self.host)
        self.lab.group = CGROUP
        if raw:
            self.lab.put(**raw)
        self.directory = self.lab.directory()


@each_kernel
@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("raw", [raw for raw, _ in RAW], ids=[name for _, name in RAW])
@pytest.mark.parametrize("words", UNIT_CHANGES)
def test_a_unit_and_back(kernel: str, tmp_path: Path, cputune: CommandLine, held: str, raw: Values, words: str) -> None:
    managed = Managed(tmp_path, kernel, HELD[held], raw)
    before = managed.lab.state()
    properties = dict(managed.systemd.held[UNIT])
    done = check(managed.host, cputune, "set", UNIT, *words.split(), directories=[managed.directory])
    if done:
        check(managed.host, cputune, "undo", directories=[managed.directory])
    assert managed.lab.state() == before
    assert managed.systemd.held[UNIT] == properties


@each_kernel
@pytest.mark.parametrize("words", ["--quota 33333", "--weight 40 --quota 5000 --burst 700", "--shares 2000"])
def test_a_unit_that_gets_the_cpu_controller_by_that_and_loses_it_again(
    kernel: str, tmp_path: Path, cputune: CommandLine, words: str
) -> None:
    host = FakeKernel(tmp_path, FAKES[kernel])
    if host.kernel.version == 2:
        host.mkdir(f"{host.mount}/system.slice")
    systemd = FakeSystemd(host)
    systemd.start(UNIT, CGROUP, controlled=False)
    systemd.drops = True
    directory = f"{host.mount}{CGROUP}"
    done = check(host, cputune, "set", UNIT, *words.split(), directories=[directory])
    assert "set-property" in [do for do, _, _ in done]
    done = check(host, cputune, "undo", directories=[directory])
    assert "set-property" in [do for do, _, _ in done]
    assert not host.exists(f"{directory}/{'cpu.max' if host.kernel.version == 2 else 'cpu.shares'}")


def test_a_slice_and_what_is_in_it(tmp_path: Path, cputune: CommandLine) -> None:
    """On v1, where the kernel refuses what systemd writes in between."""
    host = FakeKernel(tmp_path, FAKES["fake-v1"])
    systemd = FakeSystemd(host)
    systemd.start("lab.slice", "/lab.slice", {"CPUQuotaPerSecUSec": 400_000})
    systemd.start("x.service", "/lab.slice/x.service", {"CPUQuotaPerSecUSec": 300_000})
    directories = [f"{host.mount}/lab.slice", f"{host.mount}/lab.slice/x.service"]
    for words in ("--quota 90000", "--quota 10000 --period 50000", "--quota 3000 --period 10000", "--quota 80000"):
        names = ("systemd:lab.slice", "systemd:x.service")
        assert check(host, cputune, "set", *names, *words.split(), directories=directories)
        assert check(host, cputune, "undo", directories=directories)
        assert check(host, cputune, "set", *names, *words.split(), directories=directories)


# --- asked once -------------------------------------------------------------------------------------------------------


@each_kernel
@pytest.mark.parametrize("native", [False, True])
def test_a_plan_asks_for_everything_once(
    host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """State, unit and limits of every cgroup, of several domains that are inside one another."""
    systemd = FakeSystemd(host)
    systemd.start("lab.slice", "/lab.slice", {"CPUQuotaPerSecUSec": 4_000_000})
    systemd.start("x.service", "/lab.slice/x.service")
    read, asked, planning = host.read, host.run, planner.plan_jobs
    files: list[str] = []
    calls: list[str] = []

    def noted_read(path: str, limit: int = 1 << 20) -> str:
        files.append(path)
        return read(path, limit)

    def noted_run(argv: Sequence[str], *rest: Any, **options: Any) -> Completed:
        calls.append(" ".join(argv))
        return asked(argv, *rest, **options)

    def plan_jobs(*words: Any, **options: Any) -> Plan:
        with monkeypatch.context() as patch:
            patch.setattr(host, "read", noted_read)
            patch.setattr(host, "run", noted_run)
            return planning(*words, **options)

    monkeypatch.setattr(planner, "plan_jobs", plan_jobs)
    names = ["lxc:web", "lxc:db"] if native else ["lab.slice", "x.service", "lxc:web", "lxc:db"]
    words = ("--quota", "33333", "--weight", "200", "--no-idle", "--live", "--dry-run")
    done = cputune(host, "set", *names, *words, *(["--config", "--native"] if native else []))
    assert done.status == 0, done.err
    of_cgroups = [path for path in files if path.startswith(host.mount)]
    assert len(of_cgroups) == len(set(of_cgroups))
    assert len(calls) == len(set(calls)) == (0 if native else 3)  # two units, and the manager's version
