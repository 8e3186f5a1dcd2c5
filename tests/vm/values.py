"""What the guest's kernel has in force in the cgroups of a domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from tests.vm.machine import Vm
from tests.vm.runtimes import AS_USER, REMEMBERING


class Values(NamedTuple):
    """Quota and period in v2's words, and the weight (v2) or shares (v1)."""

    quota: str
    period: str
    weight: int


def limit(vm: Vm, directory: str) -> tuple[str, str]:
    """Quota and period, in v2's words."""
    if vm.mode == "unified":
        quota, period = vm.read(f"{directory}/cpu.max").split()
        return quota, period
    quota = vm.read(f"{directory}/cpu.cfs_quota_us").strip()
    return "max" if quota == "-1" else quota, vm.read(f"{directory}/cpu.cfs_period_us").strip()


def weight(vm: Vm, directory: str) -> int:
    return int(vm.read(f"{directory}/{'cpu.weight' if vm.mode == 'unified' else 'cpu.shares'}"))


def row(vm: Vm, domain: str) -> dict[str, object]:
    """What `cputune status` says of a domain."""
    found: dict[str, object]
    (found,) = json.loads(vm.check(f"cputune status '{domain}' --json"))["domains"]
    return found


def rows(vm: Vm) -> dict[str, dict[str, object]]:
    """What `cputune status` says of all domains, by their names."""
    return {found["domain"]: found for found in json.loads(vm.check("cputune status --json"))["domains"]}


def cgroup(vm: Vm, domain: str) -> dict[str, str]:
    """The directories that cputune says the domain's limit and weight are in."""
    return _place(vm, row(vm, domain))


def _place(vm: Vm, found: dict[str, object]) -> dict[str, str]:
    return {"limit": f"{vm.cpu_mount}{found['cgroup']}", "weight": f"{vm.cpu_mount}{found['weight_cgroup']}"}


def cgroups(vm: Vm, domains: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The same for many domains, each under its key."""
    known = rows(vm)
    return {key: _place(vm, known[domain]) for key, domain in domains.items()}


def values(vm: Vm, places: dict[str, dict[str, str]]) -> dict[str, Values | None]:
    """What is in force in the `cgroup` of each of many domains, read in one go; None where one is gone."""
    unified = vm.mode == "unified"
    limit_files = ("cpu.max",) if unified else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    weight_file = "cpu.weight" if unified else "cpu.shares"
    lines = []
    for place in places.values():
        files = [*(f"'{place['limit']}/{name}'" for name in limit_files), f"'{place['weight']}/{weight_file}'"]
        lines.append(f"cat {' '.join(files)} 2>/dev/null | xargs")
    found: dict[str, Values | None] = {}
    for key, line in zip(places, vm.check("\n".join(lines)).splitlines(), strict=True):
        words = line.split()
        found[key] = Values("max" if words[0] == "-1" else words[0], words[1], int(words[2])) if words else None
    return found


def at_both_levels(vm: Vm, domain: str) -> list[tuple[str, str, int]]:
    """Quota, period and weight at each level that cputune names, for those that write everything to two."""
    found = cgroup(vm, domain)
    return [(*limit(vm, place), weight(vm, place)) for place in dict.fromkeys(found.values())]


def remember_nothing(vm: Vm) -> None:
    """Have every runtime remember no limit, and lift the live ones: what is remembered would come back later."""
    names = " ".join(runtime.domain for runtime in REMEMBERING.values())
    vm.check(f"cputune set {names} --quota unlimited --live --config --native", timeout=600)
    vm.check("rm -rf /etc/cputune")
    # Drop-ins of systemd's hide what other tests set, for as long as they are there.
    vm.check("systemctl revert mydom.service systemd-nspawn@mydom.service")
    if vm.mode == "unified":
        vm.check(f"{AS_USER} systemctl --user revert mydom.service")
    vm.check(f"cputune set {names} --quota unlimited --period 100000 --weight 100 --live", timeout=600)
