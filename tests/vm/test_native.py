"""`cputune set --native`: the runtime remembers it too, shows it, keeps it at its own updates, and starts with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cputune.core.knobs import MAX_QUOTA
from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, AS_USER, NEIGHBOURS, REMEMBERING, Runtime
from tests.vm.values import Values, cgroup, cgroups, limit, remember_nothing, row, rows, values, weight

USERS_DATABASE = "podman-user"
"""What podman remembers of a stopped container is in a database, and root opens no other user's."""
NATIVE = "--live --config --native"


@pytest.fixture(scope="module", autouse=True)
def _no_drop_ins_behind(vm: Vm) -> Iterator[None]:
    yield
    remember_nothing(vm)


@pytest.fixture(autouse=True)
def _nothing_saved(vm: Vm) -> Iterator[None]:
    vm.check("rm -rf /etc/cputune")
    yield
    vm.check("rm -rf /etc/cputune")


def in_force(vm: Vm, runtime: Runtime) -> tuple[str, str, int]:
    found = cgroup(vm, runtime.domain)
    return (*limit(vm, found["limit"]), weight(vm, found["weight"]))


def remembered(vm: Vm, runtime: Runtime) -> str:
    assert runtime.remembers
    return vm.check(runtime.remembers).strip()


class Cycle(NamedTuple):
    """What is in force and remembered at each station; every runtime's, by its key."""

    told: dict[str, str]
    in_force: dict[str, Values | None]
    after_update: dict[str, Values | None]
    told_after_update: dict[str, str]
    drift: dict[str, object]
    after_start: dict[str, Values | None]
    lifted: dict[str, Values | None]
    drift_when_lifted: dict[str, object]


def told(vm: Vm) -> dict[str, str]:
    """What each runtime says that it remembers."""
    script = "\n".join(f"({runtime.remembers}) | xargs" for runtime in REMEMBERING.values())
    return dict(zip(REMEMBERING, vm.check(script).splitlines(), strict=True))


def update(vm: Vm) -> None:
    """Have each runtime change another knob."""
    for runtime in REMEMBERING.values():
        vm.check(f"{runtime.update}")


def drift(vm: Vm) -> dict[str, object]:
    known = rows(vm)
    return {key: known[runtime.domain]["drift"] for key, runtime in REMEMBERING.items()}


@pytest.fixture(scope="module")
def cycle(vm: Vm) -> Cycle:
    """Told while they run, updated by their own commands, told something else while stopped, started, lifted."""
    vm.check("rm -rf /etc/cputune")
    names = {key: runtime.domain for key, runtime in REMEMBERING.items()}
    everyone = " ".join(names.values())
    vm.check(f"cputune set {everyone} --quota unlimited --weight 100 --live")
    both = " ".join(runtime.domain for runtime in REMEMBERING.values() if runtime.shares)
    done = vm.run(f"cputune set {everyone} --quota 37000 --period 50000 {NATIVE}", timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    done = vm.run(f"cputune set {both} --shares 512 {NATIVE}", timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    places = cgroups(vm, names)
    first = told(vm), values(vm, places)
    update(vm)
    updated, told_then, drift_then = values(vm, places), told(vm), drift(vm)
    vm.check(f"/root/domains.sh down {' '.join(names)}", timeout=900)
    ours = " ".join(name for key, name in names.items() if key != USERS_DATABASE)
    done = vm.run(f"cputune set {ours} --quota 34000 --config --native", timeout=600)
    vm.check(f"/root/domains.sh up {' '.join(names)}", timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    started = values(vm, cgroups(vm, names))
    done = vm.run(f"cputune set {everyone} --quota unlimited {NATIVE}", timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    update(vm)
    lifted = values(vm, cgroups(vm, names))
    return Cycle(*first, updated, told_then, drift_then, started, lifted, drift(vm))


def expected(vm: Vm, quota: str, period: str) -> dict[str, Values]:
    usual, unified = (100, True) if vm.mode == "unified" else (1024, False)
    shares = {key: runtime.weight if unified else 512 for key, runtime in REMEMBERING.items() if runtime.shares}
    return {key: Values(quota, period, shares.get(key, usual)) for key in REMEMBERING}


def test_the_runtimes_own_command_shows_what_was_set(cycle: Cycle) -> None:
    assert cycle.told == {key: runtime.expected for key, runtime in REMEMBERING.items()}


def test_it_is_in_force(vm: Vm, cycle: Cycle) -> None:
    assert cycle.in_force == expected(vm, "37000", "50000")


def test_the_runtimes_update_of_another_knob_keeps_it(vm: Vm, cycle: Cycle) -> None:
    assert cycle.after_update == cycle.in_force
    assert cycle.told_after_update == cycle.told
    assert cycle.drift == {key: [] for key in REMEMBERING}


def test_a_stopped_domain_is_told_too_and_starts_with_it(vm: Vm, cycle: Cycle) -> None:
    wanted = expected(vm, "34000", "50000")
    if USERS_DATABASE in wanted:
        wanted[USERS_DATABASE] = wanted[USERS_DATABASE]._replace(quota="37000")
    assert cycle.after_start == wanted


def test_a_limit_that_is_lifted_does_not_come_back_at_the_next_update(cycle: Cycle) -> None:
    quotas = {key: found.quota for key, found in cycle.lifted.items() if found}
    largest = {key: str(MAX_QUOTA) for key in REMEMBERING if key.startswith("podman")}  # its word for no limit
    assert quotas == {**dict.fromkeys(REMEMBERING, "max"), **largest}
    assert cycle.drift_when_lifted == {key: [] for key in REMEMBERING}


def test_live_alone_leaves_the_memory_alone_and_status_shows_the_difference(vm: Vm) -> None:
    names = {key: runtime.domain for key, runtime in REMEMBERING.items()}
    everyone = " ".join(names.values())
    vm.check(f"cputune set {everyone} --quota 37000 --period 50000 {NATIVE}; rm -rf /etc/cputune", timeout=600)
    before = told(vm)
    done = vm.run(f"cputune set {everyone} --quota 41000 --live")
    assert done.returncode == 0
    units = [key for key in names if key in ("unit", "user", "nspawn")]
    hidden = [line for line in done.stderr.splitlines() if "systemd's next reload puts back what" in line]
    assert [line.split(": ")[1] for line in hidden] == [names[key] for key in units]
    files = {key: text for key, text in told(vm).items() if key not in units}  # systemd shows what is in force
    assert files == {key: before[key] for key in files}
    shown = drift(vm)
    for key in files:
        assert f"quota: {names[key].partition(':')[0]} 37000, live 41000" in shown[key], key  # type: ignore[operator]
    for runtime in REMEMBERING.values():
        if runtime.forgets:
            vm.check(f"{runtime.update}")
    found, shown = values(vm, cgroups(vm, names)), drift(vm)
    for key, runtime in REMEMBERING.items():
        if runtime.forgets:
            assert found[key] == found[key]._replace(quota="37000")  # type: ignore[union-attr]
            cause = f"{names[key].partition(':')[0]} put back what it remembers"
            assert f"quota: applied 41000, live 37000 ({cause})" in shown[key], key  # type: ignore[operator]
    vm.check(f"cputune set {everyone} --quota unlimited {NATIVE}", timeout=600)


def test_a_drop_in_hides_a_live_change_at_systemds_next_reload_as_announced(vm: Vm) -> None:
    vm.check(f"cputune set mydom.service --quota 37000 --period 100000 {NATIVE}")
    done = vm.run("cputune set mydom.service --quota 41000 --live")
    assert done.stderr.startswith(
        "cputune: systemd:mydom.service: systemd's next reload puts back what "
        "/etc/systemd/system.control/mydom.service.d/50-CPUQuota.conf"
    )
    vm.check(f"systemctl daemon-reload; {NEIGHBOURS}")
    assert in_force(vm, ALL["unit"])[0] == "37000"
    vm.check(f"cputune set mydom.service --quota unlimited {NATIVE}; systemctl daemon-reload; {NEIGHBOURS}")
    assert in_force(vm, ALL["unit"])[0] == "max"
    vm.check("systemctl revert mydom.service")


def test_what_is_not_named_stays_although_docker_writes_all_of_it(vm: Vm) -> None:
    docker = ALL["docker"]
    vm.check(f"cputune set docker:mydom --quota 37000 --period 50000 {NATIVE}")
    vm.check("cputune set docker:mydom --quota 41000 --live")
    vm.check(f"cputune set docker:mydom --shares 300 {NATIVE}")
    assert in_force(vm, docker)[:2] == ("41000", "50000")
    assert remembered(vm, docker) == "37000 50000 300"
    vm.check(f"cputune set docker:mydom --quota unlimited --shares 1024 {NATIVE}")


# --- refused ----------------------------------------------------------------------------------------------------------


def test_what_docker_half_did_before_it_refused_is_put_back(vm: Vm) -> None:
    """The real docker, given a quota that it passes on: it leaves 1000 of 100000 in the cgroup, and says no."""
    vm.check(f"cputune set docker:mydom --quota 37000 --period 50000 --shares 512 {NATIVE}")
    before = in_force(vm, ALL["docker"]), remembered(vm, ALL["docker"]), row(vm, "docker:mydom")["config"]
    vm.check("mkdir -p /root/bad")
    vm.write("/root/bad/docker", '#!/bin/bash\nexec /usr/bin/docker "${@//44000/18446744073709551}"\n')
    vm.check("chmod +x /root/bad/docker")
    done = vm.run(f"PATH=/root/bad:$PATH cputune set docker:mydom --quota 44000 {NATIVE}")
    assert done.returncode == 7
    assert "invalid argument" in done.stderr
    assert (in_force(vm, ALL["docker"]), remembered(vm, ALL["docker"]), row(vm, "docker:mydom")["config"]) == before
    assert row(vm, "docker:mydom")["drift"] == []


def test_podman_is_not_left_with_a_quota_that_it_cannot_apply(vm: Vm) -> None:
    vm.check(f"cputune set podman:mydom --quota 37000 --period 50000 {NATIVE}")
    before = in_force(vm, ALL["podman"]), remembered(vm, ALL["podman"])
    vm.check("mkdir -p /root/bad")
    vm.write(
        "/root/bad/podman",
        '#!/bin/bash\ncase "$*" in *44000*) set -- "${@//44000/500}" ;; esac\nexec /usr/bin/podman "$@"\n',
    )
    vm.check("chmod +x /root/bad/podman")
    done = vm.run(f"PATH=/root/bad:$PATH cputune set podman:mydom --quota 44000 {NATIVE}")
    assert done.returncode == 7
    assert (in_force(vm, ALL["podman"]), remembered(vm, ALL["podman"])) == before
    vm.check(f"{ALL['podman'].update}")  # which fails where a refused quota is remembered
    assert in_force(vm, ALL["podman"]) == before[0]


def test_of_two_runtimes_both_remember_or_neither(vm: Vm) -> None:
    """docker's turn is first, and it takes it; podman's is refused."""
    for name in ("docker:mydom", "podman:mydom"):
        vm.check(f"cputune set {name} --quota 37000 --period 50000 {NATIVE}")
    before = [(in_force(vm, ALL[key]), remembered(vm, ALL[key])) for key in ("docker", "podman")]
    vm.check("mkdir -p /root/no-podman")
    vm.write("/root/no-podman/podman", "#!/bin/sh\necho 'Error: no such luck' >&2\nexit 125\n")
    vm.check("chmod +x /root/no-podman/podman")
    done = vm.run(f"PATH=/root/no-podman:$PATH cputune set docker:mydom podman:mydom --quota 41000 {NATIVE}")
    assert done.returncode == 7
    assert "Error: no such luck" in done.stderr
    assert [(in_force(vm, ALL[key]), remembered(vm, ALL[key])) for key in ("docker", "podman")] == before


def test_a_daemon_that_is_down_is_said_and_nothing_changes(vm: Vm) -> None:
    before = in_force(vm, ALL["docker"])
    vm.check("systemctl stop docker.socket docker.service")  # with live-restore the container goes on
    try:
        done = vm.run(f"cputune set docker:mydom --quota 44000 {NATIVE}")
        without = vm.run("cputune set docker:mydom --quota 43000 --live")
    finally:
        vm.check("systemctl start docker.service")
    assert done.returncode == 6
    assert "Cannot connect to the Docker daemon" in done.stderr
    assert done.stderr.endswith("hint: systemctl start docker\n")
    assert without.returncode == 0
    assert in_force(vm, ALL["docker"]) == ("43000", *before[1:])
    vm.check("cputune set docker:mydom --quota unlimited --live")


def test_a_container_that_was_made_with_cpus_can_be_changed_but_not_lifted(vm: Vm) -> None:
    vm.check("docker run -d --name nano --cpus 0.5 --network none domain")
    try:
        assert vm.run(f"cputune set docker:nano --cpus 0.3 {NATIVE}").returncode == 0
        assert vm.check("docker inspect -f '{{.HostConfig.NanoCpus}}' nano") == "300000000\n"
        assert limit(vm, cgroup(vm, "docker:nano")["limit"]) == ("30000", "100000")
        for words, what in (("--quota unlimited", "quota"), ("--period 50000", "period")):
            done = vm.run(f"cputune set docker:nano {words} {NATIVE}")
            assert done.returncode == 4
            assert f"--native: docker cannot be made to remember --{what}: it was made with --cpus" in done.stderr
        assert limit(vm, cgroup(vm, "docker:nano")["limit"]) == ("30000", "100000")
    finally:
        vm.check("docker rm -f nano")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("incus:mydom --quota 37500", "incus cannot be made to remember --quota: 37500 is not in whole milliseconds"),
        ("incus:mydom --shares 512", "incus cannot be made to remember --shares"),
        ("docker:mydom --quota 50000 --burst 1000", "docker cannot be made to remember --burst"),
        ("oci:runc/mydom --quota 50000", "oci remembers no limits of its containers"),
        ("cri:mydom --quota 50000", "cri remembers no limits of its containers"),
    ],
)
def test_what_a_runtime_cannot_remember_is_refused_before_anything_changes(vm: Vm, words: str, said: str) -> None:
    name = words.partition(" ")[0]
    before = row(vm, name)
    done = vm.run(f"cputune set {words} {NATIVE}")
    assert done.returncode == 4
    assert said in done.stderr
    assert "\nhint: " in done.stderr
    assert row(vm, name) == before


def test_incus_keeps_a_percentage_that_a_limit_would_replace(vm: Vm) -> None:
    vm.check("incus config set mydom limits.cpu.allowance=30%")
    try:
        done = vm.run(f"cputune set incus:mydom --quota 50000 {NATIVE}")
        assert done.returncode == 4
        assert "limits.cpu.allowance is 30%, a weight, which a limit would replace" in done.stderr
    finally:
        vm.check("incus config unset mydom limits.cpu.allowance")


if "podman-user" in ALL:

    def test_what_a_user_remembers_while_it_is_stopped_only_the_user_can_change(vm: Vm) -> None:
        vm.check("/root/domains.sh down podman-user")
        try:
            done = vm.run("cputune set podman:1000/mydom --quota 34000 --config --native")
            assert done.returncode == 4
            assert "in its user's database\nhint: start it first, or run cputune as that user\n" in done.stderr
            own = f"{AS_USER} env CPUTUNE_CONFIG_DIR=/tmp/own cputune"
            done = vm.run(f"{own} set podman:mydom --quota 34000 --period 100000 --config --native")
            assert (done.returncode, done.stderr) == (0, "")
        finally:
            vm.check("/root/domains.sh up podman-user")
        assert limit(vm, cgroup(vm, "podman:1000/mydom")["limit"]) == ("34000", "100000")
        done = vm.run(f"{own} set podman:mydom --quota unlimited --live --config --native")
        assert (done.returncode, done.stderr) == (0, "")
        assert row(vm, "podman:1000/mydom")["limit_cpus"] is None


def test_dry_run_shows_the_runtimes_command_and_runs_nothing(vm: Vm) -> None:
    before = remembered(vm, ALL["docker"])
    shown = vm.check(f"cputune set docker:mydom --quota 44000 {NATIVE} --dry-run")
    id_ = vm.check("docker inspect -f '{{.Id}}' mydom").strip()
    period = in_force(vm, ALL["docker"])[1]
    update = f"run docker -H unix:///run/docker.sock update --cpu-period {period} --cpu-quota 44000 {id_}"
    lines = shown.splitlines()
    after = lines[lines.index(update) + 1 :]
    assert after
    assert all(line.startswith("hold ") for line in after)
    assert f"set-property docker-{id_}.scope CPUQuotaPerSecUSec: " in shown or vm.mode != "unified"
    assert remembered(vm, ALL["docker"]) == before
