"""`--native` with docker, on fake kernels: a daemon that obeys, refuses, does half of it, or pretends."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.programs import Completed
from cputune.planning.native import at_start
from tests.support.commandline import CommandLine
from tests.support.containers import add_lxc, snapshot
from tests.support.fakedocker import IDS, Docker
from tests.support.fakekernel import FAKES, FakeKernel, fail

CPUS = {"NanoCpus": 500000000}
NATIVE = ("--live", "--config", "--native")


@pytest.fixture(params=["fake-v1", "fake-v2"])
def docker(request: pytest.FixtureRequest, tmp_path: Path) -> Docker:
    return Docker(tmp_path, request.param)


def in_words(docker: Docker, quota: str, period: str = "100000") -> str:
    if docker.kernel.version == 1:
        quota = "-1" if quota == "max" else quota
    return f"{quota} {period}"


def test_docker_is_told_after_the_kernel_and_remembers_it(docker: Docker, cputune: CommandLine) -> None:
    done = cputune(docker, "set", "docker:web", "--quota", "50000", "--shares", "512", *NATIVE)
    assert (done.status, done.err.replace("shares are converted", "")) == (
        0,
        done.err.replace("shares are converted", ""),
    )
    assert docker.calls == [("--cpu-period", "100000", "--cpu-quota", "50000", "--cpu-shares", "512")]
    assert docker.memory(IDS[0])["CpuQuota"] == 50000
    assert docker.limit(IDS[0]) == in_words(docker, "50000")
    assert "docker:web: native: quota unset -> 50000\n" in done.out
    assert cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE).err == (
        "cputune: docker:web: nothing to do: this is in force already\n"
    )


def test_no_limit_is_minus_one_to_docker(docker: Docker, cputune: CommandLine) -> None:
    docker.remember(IDS[0], CpuQuota=50000, CpuPeriod=100000)
    docker.force(IDS[0], 50000, 100000)
    assert cputune(docker, "set", "docker:web", "--quota", "unlimited", *NATIVE).status == 0
    assert docker.calls == [("--cpu-period", "100000", "--cpu-quota", "-1")]
    assert docker.limit(IDS[0]) == in_words(docker, "max")


def test_what_docker_writes_besides_is_put_right(docker: Docker, cputune: CommandLine) -> None:
    docker.remember(IDS[0], CpuQuota=20000, CpuPeriod=100000)
    docker.force(IDS[0], 41000, 100000)
    assert cputune(docker, "set", "docker:web", "--shares", "512", *NATIVE).status == 0
    assert docker.limit(IDS[0]) == in_words(docker, "41000")
    assert docker.memory(IDS[0])["CpuQuota"] == 20000


def test_status_shows_what_docker_would_write_back(docker: Docker, cputune: CommandLine) -> None:
    docker.remember(IDS[0], CpuQuota=20000, CpuPeriod=100000)
    assert "quota: docker 20000, live unlimited" in cputune(docker, "status", "docker:web").out
    cputune(docker, "set", "docker:web", "--quota", "20000", "--live")
    assert "drift          : none" in cputune(docker, "status", "docker:web").out


def test_live_alone_does_not_touch_what_docker_remembers(docker: Docker, cputune: CommandLine) -> None:
    before = docker.memory(IDS[0])
    assert cputune(docker, "set", "docker:web", "--quota", "20000", "--live", "--config").status == 0
    assert (docker.calls, docker.memory(IDS[0])) == ([], before)


def state(docker: Docker) -> dict[str, str]:
    """All files but those that stand for the same: what is not limited may be so in two ways."""
    files = snapshot(docker)
    for id_ in IDS:
        known = json.loads(files.pop(f"{docker.folder(id_)}/hostconfig.json"))
        same = {
            "CpuQuota": max(known["CpuQuota"], 0),
            "CpuShares": 0 if known["CpuShares"] == 1024 else known["CpuShares"],
        }
        if not same["CpuQuota"]:
            same["CpuPeriod"] = 0
        files[id_] = json.dumps({**known, **same})
    return files


@pytest.mark.parametrize("after", [(), ("1000", "100000")])
def test_a_refusal_puts_back_what_docker_did_half(docker: Docker, cputune: CommandLine, after: tuple[str, ...]) -> None:
    docker.refuses, docker.after = {IDS[0]: "no such luck"}, after
    before = state(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE)
    assert done.status == 7
    assert done.err.endswith(
        f" update --cpu-period 100000 --cpu-quota 50000 {IDS[0]}: Error response from daemon: no such luck\n"
    )
    assert state(docker) == before


def test_of_two_containers_the_first_is_put_back_when_the_second_is_refused(
    docker: Docker, cputune: CommandLine
) -> None:
    docker.refuses = {IDS[1]: "no such luck"}
    before = state(docker)
    assert cputune(docker, "set", "docker:web", "docker:db", "--quota", "50000", "--shares", "512", *NATIVE).status == 7
    assert state(docker) == before
    assert docker.calls[-1][:4] == ("--cpu-period", "100000", "--cpu-quota", "-1")


def test_a_docker_that_pretends_is_found_out(docker: Docker, cputune: CommandLine) -> None:
    docker.pretends = True
    before = state(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE)
    assert done.status == 7
    assert done.err == (
        "cputune: error: docker took the command but not the value for docker:web: it remembers nothing, "
        "not period 100000, quota 50000\n"
    )
    assert state(docker) == before


@pytest.mark.parametrize("said", ["no more", "Cannot connect to the Docker daemon at unix:///run/docker.sock."])
def test_a_memory_that_cannot_be_put_back_is_named(docker: Docker, cputune: CommandLine, said: str) -> None:
    """docker takes the first, refuses the second, and from then on the first one, too; or cannot be reached."""

    class Turning(dict[str, str]):
        def __contains__(self, id_: object) -> bool:
            return len(docker.calls) > 1

        def __getitem__(self, id_: str) -> str:
            return said

    docker.refuses = Turning()
    done = cputune(docker, "set", "docker:web", "docker:db", "--quota", "50000", *NATIVE)
    assert done.status == 8
    assert done.err.startswith("cputune: error: docker -H unix://")
    left = "not everything could be put back: docker remembers period 100000, quota 50000 for docker:web"
    assert f"{said}; {left}" in done.err
    assert docker.limit(IDS[0]) == docker.limit(IDS[1]) == in_words(docker, "max")


def test_a_signal_waits_until_docker_has_answered_and_then_all_is_put_back(
    docker: Docker, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    obey = Docker.run

    def interrupted(self: Docker, argv: Sequence[str], *rest: object) -> Completed:
        if not self.calls:
            signal.raise_signal(signal.SIGINT)  # to this thread, since a worker of xdist has others
        return obey(self, argv, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Docker, "run", interrupted)
    before = state(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE)
    assert done.status == 130
    assert [words[:4] for words in docker.calls] == [
        ("--cpu-period", "100000", "--cpu-quota", "50000"),
        ("--cpu-period", "100000", "--cpu-quota", "-1"),
    ]
    assert state(docker) == before


@pytest.mark.parametrize(
    ("said", "status", "hint"),
    [
        ("Cannot connect to the Docker daemon at unix:///run/docker.sock.", 6, "systemctl start docker"),
        ("permission denied while trying to connect to the Docker daemon", 5, "run it as root: sudo cputune ..."),
        (f"No such container: {IDS[0]}", 6, "it disappeared in the meantime; list what is running: cputune status"),
    ],
)  # fmt: skip
def test_why_docker_could_not_be_told(docker: Docker, cputune: CommandLine, said: str, status: int, hint: str) -> None:
    docker.refuses = {IDS[0]: said}
    before = state(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE)
    assert (done.status, done.err.splitlines()[-1]) == (status, f"hint: {hint}")
    assert state(docker) == before


def test_without_the_program_nothing_changes(
    docker: Docker, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Docker, "run", FakeKernel.run)
    before = state(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE)
    assert done.status == 4
    assert done.err.endswith(": there is no docker here\n")
    assert state(docker) == before


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("error", [errno.EBUSY, errno.EINVAL, errno.EACCES])
def test_each_write_that_fails_before_or_after_docker_puts_all_back(
    docker: Docker, cputune: CommandLine, number: int, error: int
) -> None:
    """The first writes are ours; those behind docker's turn put right what it wrote besides."""
    docker.remember(IDS[0], CpuQuota=20000, CpuPeriod=50000)
    docker.force(IDS[0], 41000, 100000)
    before, begun = state(docker), docker.attempts["write"]
    docker.at_write(number, fail(error))
    words = ("set", "docker:web", "docker:db", "--shares", "512", "--burst", "0", "--period", "80000")
    done = cputune(docker, *words, *NATIVE)
    if done.status == 0:
        assert docker.attempts["write"] - begun < number
    else:
        assert done.status in (5, 7)
        assert state(docker) == before


@pytest.mark.parametrize(
    ("known", "words", "said"),
    [
        (CPUS, ("--quota", "unlimited"), "--quota: it was made with --cpus, which docker can change but not lift"),
        (CPUS, ("--period", "50000"), "--period: it was made with --cpus, whose period is always 100000"),
        ({}, ("--quota", "5000", "--burst", "1000"), "--burst: it has no setting for that"),
        ({}, ("--idle",), "--idle: it has no setting for that"),
    ],
)  # fmt: skip
def test_what_docker_cannot_remember(
    docker: Docker, cputune: CommandLine, known: dict[str, int], words: tuple[str, ...], said: str
) -> None:
    docker.remember(IDS[0], **known)
    if known:
        docker.force(IDS[0], 50000, 100000)
    before = state(docker)
    done = cputune(docker, "set", "docker:web", *words, *NATIVE)
    assert done.status == 4
    assert f"cputune: error: --native: docker cannot be made to remember {said}\nhint: " in done.err
    assert (docker.calls, state(docker)) == ([], before)


def test_a_container_made_with_cpus_is_given_cpus(docker: Docker, cputune: CommandLine) -> None:
    docker.remember(IDS[0], NanoCpus=500000000)
    docker.force(IDS[0], 50000, 100000)
    assert cputune(docker, "set", "docker:web", "--quota", "33333", *NATIVE).status == 0
    assert docker.calls == [("--cpus", "0.33333")]


def test_native_is_for_what_starts_again(docker: Docker, cputune: CommandLine) -> None:
    for words in (("--live",), ()):
        done = cputune(docker, "set", "docker:web", "--quota", "50000", "--native", *words)
        assert done.status == 2
        assert "give --config, too" in done.err
    done = cputune(docker, "set", "docker:web", "--quota", "50000", "--native", "--config")
    assert done.status == 2
    assert (
        "its runtime's own command changes it at once\nhint: say so: cputune set docker:web ... --live --config"
        in done.err
    )
    add_lxc(docker, "box")
    done = cputune(docker, "set", "cgroup:/docker", "--quota", "50000", *NATIVE)
    assert done.status in (4, 6)
    assert docker.calls == []


def test_a_dry_run_shows_the_command_and_runs_nothing(docker: Docker, cputune: CommandLine) -> None:
    before = snapshot(docker)
    done = cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE, "--dry-run")
    lines = done.out.splitlines()
    first_hold = next(number for number, line in enumerate(lines) if line.startswith("hold "))
    assert lines[first_hold - 1] == (
        f"run docker -H unix://{docker.root}/run/docker.sock update --cpu-period 100000 --cpu-quota 50000 {IDS[0]}"
    )
    files = {line.partition(" at ")[0].rpartition("/")[2] for line in lines[first_hold:]}
    assert files == set(docker.kernel.files())
    steps = json.loads(cputune(docker, "set", "docker:web", "--quota", "50000", *NATIVE, "--dry-run", "--json").out)
    assert [step["do"] for step in steps[0]["steps"] if step["do"] != "hold"][-2:] == ["save", "run"]
    assert {"where": "native", "name": "vcpu_quota", "from": None, "to": 50000} in steps[0]["changes"]
    assert snapshot(docker) == before


@pytest.mark.parametrize(
    ("saved", "remembered", "wanted"),
    [
        (Change(shares=512, quota=50000), Change(), (50, 50000, 100000, False)),
        (Change(), Change(shares=512, quota=50000, period=20000), (50, 50000, 20000, False)),
        (Change(quota=UNLIMITED), Change(quota=50000, period=20000), (100, UNLIMITED, 20000, False)),
        (Change(weight=30), Change(shares=2048), (30, UNLIMITED, 100000, False)),
        (Change(idle=True), Change(), (100, UNLIMITED, 100000, True)),
    ],
)
def test_what_a_stopped_domain_will_have_is_in_the_kernels_terms(
    tmp_path: Path, saved: Change, remembered: Change, wanted: tuple[object, ...]
) -> None:
    cgroups = Cgroups(FakeKernel(tmp_path, FAKES["fake-v2"]))
    goal = at_start(cgroups, Domain("lxc", "web", False, True), saved, remembered)
    assert (goal.weight, goal.quota, goal.period, goal.idle) == wanted
