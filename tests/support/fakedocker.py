"""A fake docker on a fake kernel: its records, and `docker update`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cputune.host.programs import Completed
from tests.support.fakekernel import FAKES, FakeKernel

IDS = ("a" * 64, "b" * 64)


class Docker(FakeKernel):
    """A host with two containers, web and db; `docker update` writes everything that it remembers, as the real one."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, FAKES[name])
        self.calls: list[tuple[str, ...]] = []
        self.refuses: dict[str, str] = {}
        """What it says to the containers that it refuses."""
        self.after: tuple[str, ...] = ()
        """What it does to a container before it refuses: texts for the limit's file."""
        self.pretends = False
        self.mkdir(f"{self.mount}/docker")
        if self.kernel.version == 2:
            self.write(f"{self.mount}/docker/cgroup.subtree_control", "+cpu")
        for number, (id_, title) in enumerate(zip(IDS, ("web", "db"), strict=True)):
            self.mkdir(self.directory(id_))
            self.add_process(500 + number, f"/docker/{id_}", "/sbin/init")
            record = {"State": {"Running": True, "Paused": False, "Pid": 500 + number}, "ID": id_, "Name": f"/{title}"}
            self.put_file(self.folder(id_) + "/config.v2.json", json.dumps(record, separators=(",", ":")))
            self.remember(id_, AutoRemove=False, Runtime="runc", CpuShares=0, CpuPeriod=0, CpuQuota=0, NanoCpus=0)
        self.writes.clear()

    def directory(self, id_: str) -> str:
        return f"{self.mount}/docker/{id_}"

    @staticmethod
    def folder(id_: str) -> str:
        return f"/var/lib/docker/containers/{id_}"

    def memory(self, id_: str) -> dict[str, int]:
        found: dict[str, int] = json.loads(Path(self.real(f"{self.folder(id_)}/hostconfig.json")).read_text())
        return found

    def remember(self, id_: str, **values: object) -> None:
        path = Path(self.real(f"{self.folder(id_)}/hostconfig.json"))
        known = json.loads(path.read_text()) if path.exists() else {}
        self.put_file(f"{self.folder(id_)}/hostconfig.json", json.dumps({**known, **values}))

    def force(self, id_: str, quota: int, period: int) -> None:
        """Write a limit as runc does, past our rules."""
        files = {"cpu.max": f"{'max' if quota < 0 else quota} {period}"}
        if self.kernel.version == 1:
            files = {"cpu.cfs_quota_us": str(quota), "cpu.cfs_period_us": str(period)}
        for name, text in files.items():
            Path(self.real(f"{self.directory(id_)}/{name}")).write_text(f"{text}\n")

    def limit(self, id_: str) -> str:
        names = ("cpu.max",) if self.kernel.version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        return " ".join(Path(self.real(f"{self.directory(id_)}/{name}")).read_text().strip() for name in names)

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Be `docker update`."""
        if argv[0] != "docker":
            return super().run(argv, user, timeout, text)
        assert list(argv[:4]) == ["docker", "-H", f"unix://{self.root}/run/docker.sock", "update"]
        words, id_ = argv[4:-1], argv[-1]
        self.calls.append(tuple(words))
        if id_ in self.refuses:
            if self.after:
                self.force(id_, *map(int, self.after))
            return Completed(1, "", f"Error response from daemon: {self.refuses[id_]}\n")
        if self.pretends:
            return Completed(0, f"{id_}\n", "")
        names = {"--cpu-period": "CpuPeriod", "--cpu-quota": "CpuQuota", "--cpu-shares": "CpuShares"}
        for option, value in zip(words[::2], words[1::2], strict=True):
            if option == "--cpus":
                self.remember(id_, NanoCpus=round(float(value) * 1e9))
            else:
                self.remember(id_, **{names[option]: int(value)})
        known = self.memory(id_)
        if known["CpuQuota"]:
            self.force(id_, known["CpuQuota"], known["CpuPeriod"] or 100000)
        return Completed(0, f"{id_}\n", "")
