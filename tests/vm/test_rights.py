"""What each command needs: nothing to look, root without a capability to change, or one rule of sudo's or polkit's."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from cputune.docgen import manual
from tests.vm.machine import Vm
from tests.vm.runtimes import AS_USER, DOMAINS, MODE
from tests.vm.values import cgroups, limit, row, values, weight

NOBODY = "cd /; setpriv --reuid=65534 --regid=65534 --clear-groups --reset-env"
NO_CAPABILITY = "setpriv --bounding-set=-all --inh-caps=-all"
USERS = {"labuser": AS_USER, "nobody": NOBODY}
"""One with a runtime directory and a home, where cputune has places of his own; one with neither."""

SANDBOX = manual.SANDBOX.partition("ExecStart=/usr/local/bin/cputune apply\n")[2]
"""As the manual has it."""
FOR_USERS = (
    SANDBOX.replace("CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE")
    .replace("ProtectHome=yes", "ProtectHome=read-only")
    .replace("~@privileged @resources", "~@resources")
)
"""The same for what is a user's: his bus lets only himself in, and his cgroups' files and his home are his."""

MONITOR = """\
DynamicUser=yes
AmbientCapabilities=CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
"""

APPLY = manual.SANDBOX

SUDOERS = (
    manual.SUDOERS.replace("alice", "labuser")
    .replace("^set web", r"^set systemd:mydom\.service")
    .replace("[0-9.]+$", "[0-9.]+ --live$")
)

POLKIT = """\
polkit.addRule(function (action, subject) {
  if (action.id == "org.freedesktop.systemd1.manage-units" && action.lookup("verb") == "set-property" &&
      action.lookup("unit") == "mydom.service" && subject.user == "labuser") {
    return polkit.Result.YES;
  }
});
"""

ROOTS = {key: name for key, name in DOMAINS.items() if ":1000/" not in name}
REFUSING = {
    "mydom.service": "systemd refused to change mydom.service: ",
    "lxc:mydom": f"/lxc.payload.mydom/{'cpu.max' if MODE == 'unified' else 'cpu.cfs_quota_us'} ",
    "cgroup:/plain": f"/plain/{'cpu.max' if MODE == 'unified' else 'cpu.cfs_quota_us'} ",
}
"""What refuses a user who may write nothing of root's, as the error has it."""
USERS_OWN = "/home/labuser/.local/state/cputune"
USERS_STATE = "/run/user/1000/cputune"


def sandboxed(properties: str, command: str) -> str:
    words = " ".join(f"-p {shlex.quote(line)}" for line in properties.splitlines())
    return f"systemd-run -q --pipe --wait {words} {command}"


def kept(vm: Vm) -> str:
    """All that cputune keeps for root: a file that was written anew is another one."""
    return vm.check(
        "find /etc/cputune /run/cputune /var/lib/cputune -printf '%p %m %U %i %s %T@\\n' 2>/dev/null | sort"
    )


def in_force(vm: Vm) -> str:
    """What the kernel and systemd have for the domains that a user is refused, and for his own unit."""
    name = "cpu.m* cpu.w* cpu.idle" if vm.mode == "unified" else "cpu.cfs_* cpu.shares"
    places = ["system.slice/mydom.service", vm.cgroup_of("lxc").lstrip("/"), "plain"]
    if vm.mode == "unified":
        places.append(vm.cgroup_of("user").lstrip("/"))
    files = " ".join(f"{place}/{file}" for place in places for file in name.split())
    shown = "-p CPUQuotaPerSecUSec -p CPUQuotaPeriodUSec -p CPUWeight -p CPUShares -p DropInPaths"
    return vm.check(f"cd {vm.cpu_mount}; grep -H . {files}; systemctl show mydom.service {shown}")


KNOWN = "mydom.service lxc:mydom cgroup:/plain"
TO_KNOWN = f"cputune set {KNOWN} --period 50000 --quota 37000 --shares 512 --live"


@pytest.fixture(autouse=True, scope="module")
def domains(vm: Vm) -> Iterator[None]:
    """A plain cgroup besides, every limit known, something saved, and a history of root's."""
    vm.check(f"rm -rf /etc/cputune {USERS_OWN} {USERS_STATE}; mkdir -p {vm.cpu_mount}/plain; {TO_KNOWN}")
    vm.check("cputune set mydom.service lxc:mydom --quota 36000 --config")
    yield
    everything = " ".join([*DOMAINS.values(), "cgroup:/plain"])
    vm.check(f"cputune set {everything} --period 100000 --quota unlimited --weight 100 --live")
    vm.check(f"rm -rf /etc/cputune {USERS_OWN} {USERS_STATE}; rmdir {vm.cpu_mount}/plain")


@pytest.fixture
def as_known(vm: Vm) -> Iterator[None]:
    """For a test that changes what the others know."""
    yield
    vm.check(TO_KNOWN)


# --- looking


@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("domain", KNOWN.split())
def test_anybody_sees_the_numbers_in_force(vm: Vm, who: str, domain: str) -> None:
    shown = vm.run(f"{USERS[who]} cputune schedinfo {domain}")
    assert (shown.returncode, shown.stderr) == (0, "")
    numbers = [int(number) for number in re.findall(r": (-?[0-9]+)$", shown.stdout, re.MULTILINE)]
    assert numbers == [512, 50000, 37000]
    done = vm.run(f"{USERS[who]} cputune status {domain} --json")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["domains"]
    assert found["limit_cpus"] == 0.74
    assert found == row(vm, domain)


@pytest.mark.parametrize("who", USERS)
def test_anybody_sees_what_is_saved(vm: Vm, who: str) -> None:
    assert "vcpu_quota     : 36000\n" in vm.check(f"{USERS[who]} cputune schedinfo mydom.service --config")


def test_a_user_sees_the_shares_that_root_gave(vm: Vm, as_known: None) -> None:
    vm.check("cputune set mydom.service --shares 777 --live")
    for who in ("nobody", "labuser"):
        assert "cpu_shares     : 777\n" in vm.check(f"{USERS[who]} cputune schedinfo mydom.service"), who


def test_who_may_read_but_not_write_anything_lists_every_domain(vm: Vm) -> None:
    listed = json.loads(vm.check(sandboxed(MONITOR, "cputune status --json")))["domains"]
    assert set(ROOTS.values()) <= {found["domain"] for found in listed}
    others = json.loads(vm.check(f"{NOBODY} cputune status --json"))["domains"]
    assert "docker:mydom" not in {found["domain"] for found in others}
    refused = vm.run(sandboxed(MONITOR, "cputune set lxc:mydom --quota 31000 --live"))
    assert refused.returncode == 5


# --- changing without a right to it


@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("domain", REFUSING)
def test_a_user_is_refused_what_is_roots_and_nothing_is_touched(vm: Vm, who: str, domain: str) -> None:
    before = kept(vm), in_force(vm)
    assert "/run/cputune/locks 600 0 " in before[0]
    done = vm.run(f"{USERS[who]} cputune set {domain} --quota 31000 --live")
    assert done.returncode == 5
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()[-2:]
    assert (REFUSING[domain] if who == "labuser" else "cannot lock /run/cputune/locks: Permission denied") in error
    assert hint.startswith("hint: ")
    assert "sudo cputune" in hint
    assert (kept(vm), in_force(vm)) == before
    assert vm.check(f"cat {USERS_OWN}/history {USERS_STATE}/journal/* 2>/dev/null | wc -c") == "0\n"


@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("command", ["set mydom.service --quota 31000 --config", "apply", "apply lxc:mydom"])
def test_a_user_can_neither_save_nor_apply(vm: Vm, who: str, command: str) -> None:
    before = kept(vm), in_force(vm)
    assert "/etc/cputune/domains/lxc/mydom.yaml 644 0 " in before[0]
    done = vm.run(f"{USERS[who]} cputune {command}")
    assert done.returncode == 5
    assert re.search(r"^cputune: error: .*\nhint: .*sudo cputune", done.stderr, re.MULTILINE)
    assert (kept(vm), in_force(vm)) == before


def test_everybody_has_a_history_of_his_own(vm: Vm) -> None:
    assert "lxc:mydom: live: quota " in vm.check("cputune history lxc:mydom")
    assert vm.check(f"{AS_USER} cputune history") == ""
    for done in (
        vm.run(f"{AS_USER} cputune --data-dir /var/lib/cputune history"),
        vm.run(f"{NOBODY} cputune history"),
        vm.run(f"{NOBODY} cputune undo"),
    ):
        assert done.returncode == 5
        assert done.stderr.startswith("cputune: error: cannot read /var/lib/cputune/history: Permission denied\n")


if MODE == "unified":  # on v1 nothing of a user's has a cpu cgroup
    OWN = "systemd:1000/mydom.service"
    HELD = f"{AS_USER} systemctl --user show mydom.service -P CPUQuotaPerSecUSec"

    def test_a_user_changes_his_own_unit_and_takes_it_back(vm: Vm) -> None:
        place = vm.cgroup_dir("user")
        vm.check(f"{AS_USER} cputune set {OWN} --period 100000 --quota 20000 --burst 0 --live")
        vm.check(f"rm -rf {USERS_OWN}")
        before = kept(vm)
        vm.check(f"{AS_USER} cputune set {OWN} --quota 31000 --burst 1000 --live")
        assert limit(vm, place) == ("31000", "100000")
        assert vm.read(f"{place}/cpu.max.burst") == "1000\n"
        assert vm.check(HELD) == "310ms\n"
        vm.check(f"{AS_USER} systemctl --user daemon-reload")
        assert limit(vm, place) == ("31000", "100000")
        history = vm.check(f"{AS_USER} cputune history")
        assert re.fullmatch(
            rf"\S+ \S+ labuser: cputune set {OWN} --quota 31000 --burst 1000 --live\n"
            rf"  {OWN}: live: quota 20000 -> 31000\n  {OWN}: live: burst 0 -> 1000\n",
            history,
        )
        assert vm.check(f"stat -c '%a %u' {USERS_OWN}/history") == "600 1000\n"
        vm.check(f"{AS_USER} cputune undo")
        assert limit(vm, place) == ("20000", "100000")
        assert vm.read(f"{place}/cpu.max.burst") == "0\n"
        assert vm.check(HELD) == "200ms\n"
        assert "(taken back)" in vm.check(f"{AS_USER} cputune history")
        assert kept(vm) == before

    @pytest.mark.parametrize("rest", ["--live --config", "mydom.service --live", "lxc:mydom --live"])
    def test_what_a_user_may_is_put_back_with_what_he_may_not(vm: Vm, rest: str) -> None:
        vm.check(f"{AS_USER} cputune set {OWN} --period 100000 --quota 20000 --live")
        before = kept(vm), in_force(vm), vm.check(HELD), vm.read(f"{USERS_OWN}/history")
        done = vm.run(f"{AS_USER} cputune set {OWN} {rest} --quota 31000")
        assert done.returncode == 5
        assert (kept(vm), in_force(vm), vm.check(HELD), vm.read(f"{USERS_OWN}/history")) == before
        assert vm.check(f"ls {USERS_STATE}/journal") == ""

    def test_root_needs_three_capabilities_for_what_is_a_users(vm: Vm) -> None:
        theirs = {key: name for key, name in DOMAINS.items() if ":1000/" in name}
        command = f"cputune set {' '.join(theirs.values())} --period 100000 --quota 34000 --burst 100 --live"
        for capability in ("CAP_SETUID ", "CAP_SETGID ", " CAP_DAC_OVERRIDE"):
            done = vm.run(sandboxed(FOR_USERS.replace(capability, ""), command))
            assert (done.returncode, done.stderr) != (0, ""), capability
        done = vm.run(sandboxed(FOR_USERS, command))
        assert (done.returncode, done.stderr) == (0, "")
        for key, place in cgroups(vm, theirs).items():
            assert limit(vm, place["limit"]) == ("34000", "100000"), key
            assert vm.read(f"{place['limit']}/cpu.max.burst") == "100\n", key
        assert vm.check(HELD) == "340ms\n"
        vm.check(f"cputune set {' '.join(theirs.values())} --burst 0 --live")


# --- the least that is enough


def test_whom_the_files_of_a_cgroup_belong_to_may_change_it(vm: Vm, as_known: None) -> None:
    place = f"{vm.cpu_mount}/plain"
    of_limit, of_weight = ("cpu.max", "cpu.weight") if vm.mode == "unified" else ("cpu.cfs_quota_us", "cpu.shares")
    vm.check(f"chown labuser {place}/{of_limit}")
    try:
        vm.check(f"{AS_USER} cputune set cgroup:/plain --quota 31000 --live")
        assert limit(vm, place) == ("31000", "50000")
        done = vm.run(f"{AS_USER} cputune set cgroup:/plain --quota 32000 --weight 70 --live")
        assert done.returncode == 5
        assert f"{place}/{of_weight} (it was " in done.stderr
        assert limit(vm, place) == ("31000", "50000")
    finally:
        vm.check(f"chown root {place}/{of_limit}")


def test_root_needs_no_capability(vm: Vm, as_known: None) -> None:
    vm.check(f"{NO_CAPABILITY} cputune set {KNOWN} --quota 33000 --live")
    assert {limit(vm, place["limit"])[0] for place in cgroups_of_known(vm)} == {"33000"}


def cgroups_of_known(vm: Vm) -> list[dict[str, str]]:
    known = {name: name for name in ("systemd:mydom.service", "lxc:mydom")}
    plain = f"{vm.cpu_mount}/plain"
    return [*cgroups(vm, known).values(), {"limit": plain, "weight": plain}]


def test_the_sandbox_is_one(vm: Vm) -> None:
    inside = "sh -c 'grep -h -e ^CapEff -e ^NoNewPrivs /proc/self/status; touch /etc/outside /root/outside'"
    done = vm.run(sandboxed(SANDBOX, inside))
    assert done.returncode != 0
    assert done.stdout.split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]
    assert len(done.stderr.splitlines()) == 2


def test_every_domain_of_roots_can_be_changed_and_taken_back_from_the_sandbox(vm: Vm, as_known: None) -> None:
    vm.check(f"cputune set {' '.join(ROOTS.values())} --period 100000 --quota 50000 --weight 90 --live")
    places = cgroups(vm, ROOTS)
    before = values(vm, places)
    command = f"cputune set {' '.join(ROOTS.values())} --quota 34000 --weight 80 --live"
    done = vm.run(sandboxed(SANDBOX, command))
    assert done.returncode == 0, done.stderr
    expected = 80 if vm.mode == "unified" else 819
    for key, place in places.items():
        assert limit(vm, place["limit"]) == ("34000", "100000"), key
        assert weight(vm, place["weight"]) == expected, key
    assert "root: cputune set systemd:mydom.service" in vm.check("cputune history --last 1")
    vm.check(sandboxed(SANDBOX, "cputune undo"))
    assert values(vm, places) == before


def test_a_unit_that_applies_what_the_sandbox_saved(vm: Vm, as_known: None) -> None:
    vm.check("rm -rf /etc/cputune")
    names = [ROOTS[key] for key in ("unit", "lxc", "docker")]
    vm.check(sandboxed(SANDBOX, f"cputune set {' '.join(names)} --period 100000 --quota 29000 --config"))
    assert vm.check("find /etc/cputune -name '*.yaml' -printf '%m %U\n' | uniq -c").split() == ["3", "644", "0"]
    vm.write("/run/systemd/system/cputune-apply.service", APPLY)
    vm.check("systemctl daemon-reload; systemctl start cputune-apply.service")
    for place in cgroups(vm, {name: name for name in names}).values():
        assert limit(vm, place["limit"]) == ("29000", "100000")
    assert "/run/cputune/applied/docker/mydom " in kept(vm), "gone with the unit"
    vm.check("rm /run/systemd/system/cputune-apply.service; systemctl daemon-reload")
    vm.check("cputune set mydom.service lxc:mydom --quota 36000 --config")


@pytest.mark.parametrize("domain", ["lxc:mydom", "incus:mydom", "lxd:mydom"])
def test_from_a_network_namespace_of_ones_own(vm: Vm, domain: str) -> None:
    assert '"running": true' in vm.check(sandboxed("PrivateNetwork=yes", f"cputune status {domain} --json"))


# --- one rule


@pytest.fixture
def sudo(vm: Vm) -> Iterator[str]:
    vm.write("/etc/sudoers.d/cputune", f"{SUDOERS}\n")
    try:
        vm.check("chmod 440 /etc/sudoers.d/cputune; visudo -cq")
        yield f"{AS_USER} sudo -n"
    finally:
        vm.check("rm /etc/sudoers.d/cputune")


def test_one_line_for_sudo(vm: Vm, sudo: str, as_known: None) -> None:
    place = f"{vm.cpu_mount}/system.slice/mydom.service"
    vm.check(f"{sudo} cputune set systemd:mydom.service --cpus 0.31 --live")
    assert limit(vm, place) == ("15500", "50000")
    last = vm.check("cputune history --last 1")
    assert "labuser as root: cputune set systemd:mydom.service --cpus 0.31 --live\n" in last
    before = kept(vm), in_force(vm)
    for words in (
        "set systemd:mydom.service lxc:mydom --cpus 0.2 --live",
        "set systemd:mydom.service --cpus '0.2 --live lxc:mydom' --live",
        "set systemd:mydom.service --cpus 0.2 --live --config",
        "--config-dir /tmp/his set systemd:mydom.service --cpus 0.2 --live",
        "history",
    ):
        refused = vm.run(f"{sudo} cputune {words}")
        assert (refused.returncode, refused.stderr) == (1, "sudo: a password is required\n"), words
    assert (kept(vm), in_force(vm)) == before


def test_what_sudo_keeps_of_a_users_environment_moves_nothing(vm: Vm, sudo: str, as_known: None) -> None:
    his = "CPUTUNE_STATE_DIR=/tmp/his CPUTUNE_DATA_DIR=/tmp/his CPUTUNE_CONFIG_DIR=/tmp/his CPUTUNE_ROOT=/tmp/his"
    sudo = sudo.replace(" sudo ", f" {his} sudo ")
    vm.check(f"{sudo} cputune set systemd:mydom.service --cpus 0.32 --live")
    assert vm.run("ls /tmp/his").returncode != 0
    assert "--cpus 0.32 --live\n" in vm.check("cputune history --last 1")


@pytest.fixture
def polkit(vm: Vm) -> Iterator[None]:
    vm.write("/etc/polkit-1/rules.d/50-cputune.rules", POLKIT)
    try:
        vm.check("systemctl restart polkit.service")
        yield
    finally:
        vm.check("rm /etc/polkit-1/rules.d/50-cputune.rules; systemctl restart polkit.service")


def test_one_rule_of_polkits(vm: Vm, polkit: None, as_known: None) -> None:
    place = f"{vm.cpu_mount}/system.slice/mydom.service"
    vm.check(f"{AS_USER} cputune set mydom.service --quota 20000 --live")
    assert limit(vm, place) == ("20000", "50000")
    vm.check(f"{AS_USER} cputune undo")
    assert limit(vm, place) == ("37000", "50000")
    before = in_force(vm)
    for words in ("dbus.service --quota 20000", "lxc:mydom --quota 20000"):
        assert vm.run(f"{AS_USER} cputune set {words} --live").returncode == 5, words
    if vm.mode == "unified":  # what systemd has no property for takes the right to the file
        burst = vm.run(f"{AS_USER} cputune set mydom.service --burst 500 --live")
        assert burst.returncode == 5
        assert "/mydom.service/cpu.max.burst (it was " in burst.stderr
    assert in_force(vm) == before
