"""The VM in which the end-to-end suite runs the installed cputune: `lab` boots it, `domains.sh` starts its domains.

    CPUTUNE_VM=1 pytest tests/vm     (as root the first time, to build the VM's image)

Environment: CPUTUNE_VM_MODE is unified (default), hybrid or legacy; CPUTUNE_VM_WHEEL is a wheel to test instead of one
built from this tree; CPUTUNE_VM_KEEP=1 leaves the VM running at the end and uses a running one; `lab` names the others.
Without CPUTUNE_VM=1 nothing in this folder is collected; with it, a VM that cannot be had is a failure.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
BUILD_SECONDS = 1800

WANTED = os.environ.get("CPUTUNE_VM") == "1"

RAN: list[str] = []
"""The runtimes whose domains were up, as domains.sh calls them."""

collect_ignore_glob = [] if WANTED else ["*"]


NOT_ON_HYBRID = ("test_guard.py", "test_rights.py", "test_transactions.py", "test_without_power.py")
"""To cgroups, systemd and rights it is as on legacy: these are long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not WANTED:  # a file named on the command line is collected whatever is ignored
        items[:] = [item for item in items if HERE not in item.path.parents]
    elif os.environ.get("CPUTUNE_VM_MODE") == "hybrid":
        items[:] = [item for item in items if item.path.name not in NOT_ON_HYBRID]


@dataclass(frozen=True)
class Vm:
    """A running VM, with the domain `mydom` in every runtime of domains.sh."""

    mode: str
    name: str

    def lab(self, *arguments: str, stdin: str = "", timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HERE / "lab", *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            env={**os.environ, "CPUTUNE_VM_NAME": self.name},
            check=False,
        )

    def run(self, command: str, *, stdin: str = "", timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell command line in the guest, as root."""
        return self.lab("exec", command, stdin=stdin, timeout=timeout)

    def check(self, command: str, *, stdin: str = "", timeout: float = 300) -> str:
        """The standard output of a command line that must succeed."""
        done = self.run(command, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def read(self, path: str) -> str:
        return self.check(f"cat -- {shlex.quote(path)}")

    def write(self, path: str, text: str) -> None:
        self.check(f"cat >{shlex.quote(path)}", stdin=text)

    def pid(self, runtime: str) -> int:
        """The process id of the init of the runtime's domain."""
        return int(self.check(f"/root/domains.sh pid {runtime}"))

    def cgroup_of(self, runtime: str) -> str:
        """Where that init is in the hierarchy of the cpu controller."""
        paths = {}
        for line in self.read(f"/proc/{self.pid(runtime)}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
        return paths["cpu"] if "cpu" in paths else paths[""]

    @property
    def cpu_mount(self) -> str:
        """Where the hierarchy of the cpu controller is mounted."""
        return "/sys/fs/cgroup" if self.mode == "unified" else "/sys/fs/cgroup/cpu,cpuacct"

    def cgroup_dir(self, runtime: str) -> str:
        return self.cpu_mount + self.cgroup_of(runtime)


def must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        pytest.fail(f"{done.args}: exit {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)


def build_wheel(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w"]
    must(subprocess.run([*pip, folder, REPOSITORY], capture_output=True, encoding="utf-8", check=False))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(vm: Vm, wheel: Path) -> None:
    """Install the wheel in the image's environment, whose dependencies are Debian's packages."""
    must(vm.lab("put", str(wheel), f"/root/{wheel.name}"))
    pip = f"pip --python /opt/cputune/bin/python install -q --no-index --no-deps --force-reinstall /root/{wheel.name}"
    must(vm.run(f"{pip} && ln -sf /opt/cputune/bin/cputune /usr/local/bin/cputune"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which runtimes' domains were there."""
    if RAN:
        terminalreporter.write_line(f"runtimes that ran: {', '.join(RAN)}")


@pytest.fixture(scope="session")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    mode = os.environ.get("CPUTUNE_VM_MODE", "unified")
    vm = Vm(mode, os.environ.get("CPUTUNE_VM_NAME", f"suite-{mode}"))
    keep = os.environ.get("CPUTUNE_VM_KEEP") == "1"
    ready_made = os.environ.get("CPUTUNE_VM_WHEEL")
    wheel = Path(ready_made) if ready_made else build_wheel(tmp_path_factory.mktemp("wheel"))
    try:
        if not (keep and vm.lab("status").returncode == 0):
            must(vm.lab("build", timeout=BUILD_SECONDS))
            must(vm.lab("start", mode, timeout=BUILD_SECONDS))
        install(vm, wheel)
        up = vm.run("/root/domains.sh up", timeout=900)
        must(up)
        RAN.extend(line.split("\t")[0] for line in up.stdout.splitlines() if line.count("\t") == 2)
        yield vm
    finally:
        if not keep:
            vm.lab("stop")
