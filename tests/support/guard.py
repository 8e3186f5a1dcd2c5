"""The guard as a process, on the real kernel, with docker's records made up for the purpose."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.lab import Lab, docker_id
from tests.support.waiting import SECONDS, until

QUOTA = 50000


class Guard:
    """A root with docker's records in it, the machine's own kernel, and `cputune guard` as often as it is started."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.root = folder / "root"
        (self.root / "var/lib/docker/containers").mkdir(parents=True)
        for name in ("proc", "sys"):
            (self.root / name).symlink_to(f"/{name}")
        own = {name: str(folder / name) for name in ("config", "state", "data")}
        self.environment = {**os.environ, "CPUTUNE_ROOT": str(self.root)}
        self.environment |= {f"CPUTUNE_{name.upper()}_DIR": path for name, path in own.items()}
        self.configurations = folder / "config/domains/docker"
        self.configurations.mkdir(parents=True)
        self.errors = folder / "errors"
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.settimeout(SECONDS)
        self.told.bind(str(folder / "notify"))
        self.environment["NOTIFY_SOCKET"] = str(folder / "notify")
        self.process: subprocess.Popen[bytes] | None = None
        lab.make("docker")

    def save(self, name: str) -> None:
        (self.configurations / f"{name}.yaml").write_text(f"version: 1\nquota: {QUOTA}\n")

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start it, and wait until it says that it is ready."""
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cputune", "guard", *options], env=self.environment, stderr=errors
            )
        self.await_word("READY=1")
        return self.process

    def await_word(self, word: str) -> None:
        deadline = time.monotonic() + SECONDS
        while word not in self.told.recv(4096).decode().split("\n"):
            assert time.monotonic() < deadline

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        self.told.close()

    def define(self, name: str, number: int) -> str:
        """A container's records; returns its cgroup's name in the lab."""
        id_ = docker_id(number)
        folder = self.root / "var/lib/docker/containers" / id_
        folder.mkdir()
        record = {"Name": f"/{name}", "State": {"Running": False, "Pid": 0}}
        (folder / "config.v2.json").write_text(json.dumps(record, separators=(",", ":")))
        (folder / "hostconfig.json").write_text("{}")
        return f"docker/{id_}"

    def limited(self, cgroup: str) -> bool:
        return self.lab.state(cgroup).quota == QUOTA

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition, self.errors.read_text)

    def memory(self) -> int:
        """What it has in memory for itself, in KiB."""
        assert self.process
        words = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return int(words[words.index("RssAnon:") + 1])
