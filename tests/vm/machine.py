"""The virtual machine: what is run in it, and how cputune gets into it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent

RAN: list[str] = []
"""The runtimes whose domains were up, as domains.sh calls them."""


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
