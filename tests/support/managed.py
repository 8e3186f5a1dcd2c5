"""A host whose systemd holds the properties of one unit."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.host.systemd import INFINITY
from tests.support.hosts import lay_out, read

UNIT = "mydom.service"
CGROUP = f"/system.slice/{UNIT}"
GROUP = f"/sys/fs/cgroup{CGROUP}"
SCOPE = r"/machine.slice/machine-lxc\x2d438\x2dmydom.scope"
UNSET = {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": INFINITY, "CPUWeight": INFINITY}


class Managed(Host):
    """Debian 13 with a systemd that holds the properties of one unit, and writes what it is told as it does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), state_dir=f"{folder}/run/cputune")
        self.scratch = lay_out(read("debian13-unified"), folder)
        self.cgroup = CGROUP
        self.held = dict(UNSET)
        self.version = 257
        self.log: list[str] = []
        self.refusal: str | None = None
        self.deaf = False
        self.stubborn = False
        self.vanishing = False

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Be busctl."""
        if self.deaf:
            return Completed(1, "", "Failed to connect to bus: No such file or directory\n")
        assert argv[:3] == ["busctl", "--no-pager", f"--address=unix:path={self.root}/run/dbus/system_bus_socket"]
        if argv[3] == "get-property":
            if argv[-1] == "Version":
                return Completed(0, f's "{self.version}.13-1~deb13u1"\n', "")
            return Completed(0, "".join(map(self._property, argv[7:])), "")
        if self.refusal:
            return Completed(1, "", f"Call failed: {self.refusal}\n")
        words = argv[argv.index("true") + 2 :]
        for name, value in zip(words[::3], words[2::3], strict=True):
            self.held[name] = int(value)
            self.log.append(f"{name}={value}")
        self._realize()
        return Completed(0, "", "")

    def _property(self, name: str) -> str:
        """As busctl prints it: strings are escaped as in C."""
        if name == "ControlGroup":
            return 's "{}"\n'.format(self.cgroup.replace("\\", r"\\"))
        return f"t {self.held[name]}\n"

    def _realize(self) -> None:
        """Write all CPU attributes, as cgroup_context_apply() in systemd's src/core/cgroup.c."""
        if self.vanishing:
            shutil.rmtree(self.real(GROUP), ignore_errors=True)
            return
        period = 100000 if self.held["CPUQuotaPeriodUSec"] == INFINITY else self.held["CPUQuotaPeriodUSec"]
        quota, weight = self.held["CPUQuotaPerSecUSec"], self.held["CPUWeight"]
        limit = "max 100000" if quota == INFINITY else f"{quota * period // 1_000_000} {period}"
        texts = {"cpu.idle": str(int(weight == 0)), "cpu.max": limit}
        if weight:
            texts["cpu.weight"] = str(100 if weight == INFINITY else weight)
        for name, text in texts.items():
            Path(self.real(f"/sys/fs/cgroup{self.cgroup}/{name}")).write_text(f"{text}\n")

    def write(self, path: str, text: str) -> None:
        """Write a file, or say no; note it."""
        if self.stubborn:
            raise OSError(errno.EINVAL, "Invalid argument")
        super().write(path, text)
        self.log.append(f"{path.removeprefix(GROUP)[1:]}={text}")

    def text(self, name: str) -> str:
        """What a file of the unit has."""
        return Path(self.real(f"{GROUP}/{name}")).read_text().strip()
