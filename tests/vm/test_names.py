"""Finding containers on a real host: names in several runtimes, ids, users' and further daemons, what has gone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.vm.machine import Vm
from tests.vm.runtimes import ALL, AS_USER, DOMAINS, MODE
from tests.vm.values import cgroup, cgroups, limit, row


def found(vm: Vm, name: str) -> str:
    return str(json.loads(vm.check(f"cputune schedinfo '{name}' --json"))["domain"])


def test_one_name_in_many_runtimes_is_ambiguous_and_all_are_listed(vm: Vm) -> None:
    done = vm.run("cputune schedinfo mydom")
    assert done.returncode == 3
    listed = done.stderr.partition("domain: ")[2].partition("\n")[0].split(", ")
    # Units are not called so, and what is a user's is never meant by a name that does not say whose.
    named = {name for name in DOMAINS.values() if "mydom.service" not in name and ":1000/" not in name}
    assert set(listed) == named - {"oci:runc/mydom-sd", "oci:crun/mydom-sd"}
    assert done.stderr.endswith("\nhint: name one of them as it is here\n")


def test_every_domain_is_in_the_status_once(vm: Vm) -> None:
    names = [row["domain"] for row in json.loads(vm.check("cputune status --json"))["domains"]]
    assert len(names) == len(set(names))
    assert {runtime.domain for runtime in ALL.values()} | {"systemd:system.slice"} <= set(names)
    assert not [name for name in names if "systemd-nspawn@" in name or "/docker-" in name or ":docker-" in name]


def test_the_limit_is_where_the_runtimes_own_command_has_it(vm: Vm) -> None:
    """libvirt: quota in the child, weight on the scope; nspawn: the unit; crun under systemd: both levels."""
    names = " ".join(DOMAINS.values())
    vm.check(f"cputune set {names} --weight 77 --live")  # on v1 a unit may have no cpu cgroup before
    expected = {}
    for key in ALL:
        init = vm.cgroup_dir(key)
        expected[key] = {"limit": init, "weight": init}
        if key == "nspawn":
            expected[key] = dict.fromkeys(expected[key], init.removesuffix("/payload"))
        elif key == "libvirt" or init.endswith("/container"):
            expected[key]["weight"] = init.removesuffix("/libvirt").removesuffix("/container")
    assert cgroups(vm, DOMAINS) == expected
    vm.check(f"cputune set {names} --weight 100 --live")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_an_id_may_be_shortened_and_a_name_comes_first(vm: Vm, engine: str) -> None:
    id_ = vm.check(f"{engine} inspect -f '{{{{.Id}}}}' mydom").strip()
    for name in (f"{engine}:{id_}", f"{engine}:{id_[:12]}", id_[:12], id_):
        assert found(vm, name) == f"{engine}:mydom"
    vm.check(f"{engine} run -d --name {id_[:12]} --network none domain")
    try:
        assert found(vm, f"{engine}:{id_[:12]}") == f"{engine}:{id_[:12]}"
        assert found(vm, f"{engine}:{id_[:13]}") == f"{engine}:mydom"
    finally:
        vm.check(f"{engine} rm -f -t 1 {id_[:12]}" if engine == "podman" else f"{engine} rm -f {id_[:12]}")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_container_with_rm_is_transient_and_a_paused_one_can_be_changed(vm: Vm, engine: str) -> None:
    vm.check(f"{engine} run -d --rm --name passing --network none domain && {engine} pause passing")
    try:
        done = vm.run(f"cputune set {engine}:passing --cpus 0.5 --config")
        assert done.returncode == 6
        assert f"cannot change persistent config of a transient domain: {engine}:passing" in done.stderr
        vm.check(f"cputune set {engine}:passing --cpus 0.5 --live")
        assert row(vm, f"{engine}:passing")["limit_cpus"] == 0.5
        if vm.mode == "unified" or engine == "docker":
            assert "paused" in vm.check(f"cputune status {engine}:passing")
    finally:
        vm.check(f"{engine} unpause passing; {engine} kill passing")


def test_a_container_in_a_pod_and_the_limit_of_the_pod(vm: Vm) -> None:
    vm.check("podman pod create --name pd --network none && podman run -d --pod pd --name inpod domain")
    try:
        vm.check("cputune set podman:inpod --cpus 0.5 --live")
        place = cgroup(vm, "podman:inpod")
        assert "libpod_pod_" in place["limit"]
        assert limit(vm, place["limit"]) == limit(vm, place["weight"]) == ("50000", "100000")
        assert "pod" in row(vm, "podman:inpod")["facts"]  # type: ignore[operator]
    finally:
        vm.check("podman pod rm -f -t 1 pd")


def test_an_incus_container_of_a_project(vm: Vm) -> None:
    vm.check("incus project create p1 -c features.images=false -c features.profiles=false")
    try:
        vm.check("incus launch -q --ephemeral domain web --project p1 </dev/null")
        vm.check("cputune set incus:p1/web --quota 37000 --live")
        assert row(vm, "incus:p1/web")["persistent"] is False
        assert limit(vm, cgroup(vm, "incus:p1/web")["limit"])[0] == "37000"
    finally:
        vm.check("incus stop -f web --project p1; incus project delete p1")


@pytest.fixture(scope="module")
def second_docker(vm: Vm) -> Iterator[str]:
    """Another daemon of root, with everything of its own; how it is called."""
    words = "--data-root /srv/docker2 --exec-root /run/docker2 --pidfile /run/docker2.pid -H unix:///run/docker2.sock"
    words += " --containerd-namespace moby2 --containerd-plugins-namespace plugins.moby2 --config-file /dev/null"
    words += " --bridge none --iptables=false --ip6tables=false"
    vm.check(f"systemd-run -q --unit=docker2 -p Type=notify -p Delegate=yes dockerd {words}")
    docker = "docker -H unix:///run/docker2.sock"
    try:
        vm.check(f"tar -C /srv/images/root -c . | {docker} import -c 'CMD [\"/sbin/init\"]' - domain")
        vm.check(f"{docker} run -d --name mydom --network none domain")
        yield docker
    finally:
        vm.run(f"{docker} rm -f mydom; systemctl stop docker2")


def test_two_docker_daemons(vm: Vm, second_docker: str) -> None:
    ours = vm.check(f"{second_docker} inspect -f '{{{{.Id}}}}' mydom").strip()
    assert found(vm, f"docker:{ours}") == "docker:/srv/docker2/mydom"
    assert found(vm, "docker:mydom") == "docker:mydom"
    vm.check("cputune set docker:/srv/docker2/mydom --quota 37000 --live --config --native")
    assert limit(vm, cgroup(vm, "docker:/srv/docker2/mydom")["limit"])[0] == "37000"
    assert vm.check(f"{second_docker} inspect -f '{{{{.HostConfig.CpuQuota}}}}' mydom") == "37000\n"
    done = vm.run("cputune schedinfo mydom")
    assert "docker:mydom, " in done.stderr
    assert "docker:/srv/docker2/mydom" in done.stderr
    vm.check("rm -rf /etc/cputune")


def test_a_half_written_record_is_said_and_hides_no_other_container(vm: Vm) -> None:
    vm.check("docker create --name broken domain")
    id_ = vm.check("docker inspect -f '{{.Id}}' broken").strip()
    record = f"/var/lib/docker/containers/{id_}/config.v2.json"
    vm.check(f"cp {record} /root/whole && head -c 900 /root/whole >{record}")
    try:
        done = vm.run(f"cputune schedinfo docker:{id_}")
        assert done.returncode == 6
        assert f"{record} is not JSON: half-written, or damaged\nhint: try again" in done.stderr
        assert found(vm, "docker:mydom") == "docker:mydom"
        names = [row["domain"] for row in json.loads(vm.check("cputune status --json --runtime docker"))["domains"]]
        assert "docker:mydom" in names
    finally:
        vm.check(f"cp /root/whole {record}; docker rm -f broken")


def test_a_container_that_goes_away_before_the_write(vm: Vm) -> None:
    """Removed by what cputune itself calls: systemd is told, and by then docker has removed the container."""
    vm.check("docker run -d --name brief --network none domain")
    vm.check("mkdir -p /root/removing")
    vm.write(
        "/root/removing/busctl",
        '#!/bin/sh\ncase "$*" in *SetUnitProperties*) docker rm -f brief >/dev/null ;; esac\n'
        'exec /usr/bin/busctl "$@"\n',
    )
    vm.check("chmod +x /root/removing/busctl")
    try:
        before = limit(vm, cgroup(vm, "lxc:mydom")["limit"])
        done = vm.run("PATH=/root/removing:$PATH cputune set lxc:mydom docker:brief --quota 29000 --live")
        if vm.mode == "unified":  # on v1 docker's cgroup is no unit's, and nothing removes it meanwhile
            assert done.returncode in (3, 6)
            assert "brief" in done.stderr or "docker-" in done.stderr
            assert limit(vm, cgroup(vm, "lxc:mydom")["limit"]) == before
        else:
            assert done.returncode == 0
    finally:
        vm.check("docker rm -f brief; cputune set lxc:mydom --quota unlimited --live")


def test_containers_of_others_are_not_ours_to_look_for(vm: Vm) -> None:
    for name in ("docker:mydom", "podman:mydom", "cri:mydom"):
        done = vm.run(f"{AS_USER} cputune schedinfo {name}")
        if name != "cri:mydom" and vm.mode == "unified":
            assert done.returncode == 0  # his own of that name
        else:
            assert done.returncode == 5
            assert f"cannot look for {name}: " in done.stderr
            assert done.stderr.endswith("hint: run it as root: sudo cputune ...\n")


if MODE == "unified":  # on v1 nothing of a user's has a cpu cgroup

    def test_a_user_changes_his_own_container(vm: Vm) -> None:
        vm.check(f"{AS_USER} cputune set podman:mydom --quota 33000 --live")
        assert limit(vm, cgroup(vm, "podman:1000/mydom")["limit"])[0] == "33000"
        done = vm.run(f"{AS_USER} cputune set docker:1000/mydom --quota 33000 --live")
        assert done.returncode == 0
        vm.check("cputune set podman:1000/mydom docker:1000/mydom --quota unlimited --live")


if MODE != "unified":

    def test_a_users_container_without_a_cpu_cgroup_is_not_taken_for_all_of_the_user(vm: Vm) -> None:
        vm.check("/root/domains.sh up podman-user")
        done = vm.run("cputune set podman:1000/mydom --quota 33000 --live")
        assert done.returncode == 4
        assert "podman:1000/mydom runs, but it has no cpu cgroup of its own, but is in /" in done.stderr
        vm.check("/root/domains.sh down podman-user")


def test_from_a_container_that_has_the_host_mounted(vm: Vm) -> None:
    """Namespaces of its own for mounts and processes, the host's tree at /mnt/host, and nothing of it anywhere else."""
    inside = (
        "mkdir -p /mnt/host && mount --make-rprivate / && mount --rbind / /mnt/host && "
        "for dir in /run /sys/fs/cgroup /var/lib /etc/cputune; do mkdir -p $dir; mount -t tmpfs none $dir; done && "
        "mount -t proc none /proc && cputune --root /mnt/host "
    )
    command = f"unshare --mount --pid --fork sh -c '{inside} {{}}'"
    wanted = ["docker:mydom", "podman:mydom", "lxc:mydom", "incus:mydom", "cri:mydom", "oci:crun/mydom", "nspawn:mydom"]
    listed = [row["domain"] for row in json.loads(vm.check(command.format("status --json")))["domains"]]
    assert set(wanted) <= set(listed)
    done = vm.run(command.format(f"set {' '.join(wanted)} systemd:mydom.service --quota 31000 --live"))
    assert done.returncode == 0, done.stderr
    for name in (*wanted, "systemd:mydom.service"):
        assert limit(vm, cgroup(vm, name)["limit"])[0] == "31000", name
    native = vm.run(command.format("set podman:mydom --quota 32000 --live --config --native"))
    assert native.returncode == 4
    assert "--native: podman's own command cannot be run for a host at /mnt/host" in native.stderr
    vm.check(f"cputune set {' '.join(wanted)} systemd:mydom.service --quota unlimited --live")
