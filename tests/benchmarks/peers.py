"""cputune against each runtime's own command, on the same container in the same boot: wall times as ratios.

Runs as root in the guest of tests/vm, with its domains up:

    tests/vm/lab build && tests/vm/lab start && tests/vm/lab exec '/root/domains.sh up'
    (install the wheel in /opt/cputune as tests/vm/conftest.py does)
    tests/vm/lab put tests/benchmarks/peers.py /root/peers.py && tests/vm/lab exec 'python3 /root/peers.py [ROUNDS]'

Each round runs every command once, peer and cputune in turn, with another value each time, so that there is always
something to change. The figures are medians; under emulation only their ratios say anything.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import NamedTuple

CGROUP = "mydom-bench"


class Pair(NamedTuple):
    """Two commands that do the same; {quota} and {percent} are filled in."""

    what: str
    peer: str
    cputune: str


ENGINE = "update --cpu-quota {quota} --cpu-period 100000 mydom"
UNIT = "systemctl set-property --runtime mydom.service CPUQuota={percent}%"
ALLOWANCE = "incus config set mydom limits.cpu.allowance={ms}ms/100ms"
VIRSH = "virsh -q -c lxc:/// schedinfo mydom"


def setting(domain: str) -> str:
    """Our command for all of them."""
    return f"set {domain} --quota {{quota}} --live"


PAIRS = (
    Pair("libvirt: set", f"{VIRSH} --live vcpu_quota={{quota}}", setting("libvirt:mydom")),
    Pair("libvirt: show", VIRSH, "schedinfo libvirt:mydom"),
    Pair("docker: set", f"docker {ENGINE}", setting("docker:mydom")),
    Pair("docker: show", "docker inspect mydom", "schedinfo docker:mydom"),
    Pair("podman: set", f"podman {ENGINE}", setting("podman:mydom")),
    Pair("podman: show", "podman inspect mydom", "schedinfo podman:mydom"),
    Pair("incus: set", ALLOWANCE, setting("incus:mydom")),
    Pair("a unit: set", UNIT, setting("mydom.service")),
    Pair("a unit: show", "systemctl show mydom.service -p CPUQuotaPerSecUSec", "schedinfo mydom.service"),
    Pair("a cgroup: set", f"cgset -r cpu.max={{quota}} {CGROUP}", setting(f"cgroup:/{CGROUP}")),
    Pair("a cgroup: show", f"cgget -r cpu.max {CGROUP}", f"schedinfo cgroup:/{CGROUP}"),
)


def seconds(words: list[str]) -> float:
    """How long a command takes; one that fails ends everything."""
    begin = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def filled(command: str, number: int) -> list[str]:
    """A command's words, with the value of this round."""
    percent = 30 + number % 20
    return command.format(quota=percent * 1000, percent=percent, ms=percent).split(" ")


def main(rounds: int) -> None:
    subprocess.run(["cgcreate", "-g", f"cpu:{CGROUP}"], check=True)
    times: dict[str, tuple[list[float], list[float]]] = {pair.what: ([], []) for pair in PAIRS}
    bare = []
    for number in range(rounds + 1):
        for pair in PAIRS:
            peer = seconds(filled(pair.peer, 2 * number))
            ours = seconds(filled(f"cputune {pair.cputune}", 2 * number + 1))
            if number:  # the first round warms up
                times[pair.what][0].append(peer)
                times[pair.what][1].append(ours)
        if number:
            bare.append(seconds(["/opt/cputune/bin/python", "-c", "import click"]))
    print("| | its own command | ms | cputune, ms | cputune / its own |\n|---|---|---|---|---|")
    for pair in PAIRS:
        peer, ours = map(statistics.median, times[pair.what])
        name = " ".join(pair.peer.split(" ")[: 2 if pair.peer.startswith(("docker", "podman")) else 1])
        print(f"| {pair.what} | `{name}` | {peer * 1000:.0f} | {ours * 1000:.0f} | {ours / peer:.2f} |")
    print(f"\npython -c 'import click': {statistics.median(bare) * 1000:.0f} ms; {rounds} rounds")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
