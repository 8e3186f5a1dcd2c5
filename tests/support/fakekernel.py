"""A fake kernel: the cpu controller of cgroup v1 or v2 over a temporary folder, and the faults a test wants of it.

It keeps the rules of kernel/sched/core.c (tg_set_cfs_bandwidth, tg_cfs_schedulable_down, sched_group_set_shares,
sched_group_set_idle, cpu_max_write), lib/kstrtox.c and kernel/cgroup/cgroup.c; the suite in tests/contract runs over
this and over the real kernel, which proves it.
"""

from __future__ import annotations

import errno
import os
import re
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from cputune.host.programs import Completed
from cputune.host.system import Host

MAX_MICROSECONDS = (1 << 44) - 1
FOREVER = 1 << 64
SYSTEMD_TREE = "/sys/fs/cgroup/systemd"

# lib/kstrtox.c with base 0: 0x and 0 as in C, a plus sign, one newline at the end, and nothing else.
_U64 = re.compile(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\n?", re.ASCII)
# sscanf(buf, "%20s %llu"): a word, and digits behind it if there are any; what follows is never looked at.
_MAX = re.compile(r"\s*(\S{1,20})\s*([0-9]*)", re.ASCII)

Fault = Callable[[str, str], bool]
"""What happens at a write or read of (path, text): it may raise, or do something. True: the kernel says yes, and that
is all; False: it goes on as ever."""


class MoreFile(NamedTuple):
    """A file of the cpu controller that the fake has no rule for."""

    name: str
    initial: str
    read_back: Callable[[str], str] = str.strip
    """What it says after this text was written; it raises as the kernel does for a text that it refuses."""


class Kernel(NamedTuple):
    """What a kernel has, and how it errs."""

    version: int
    bandwidth: bool = True
    burst: bool = True
    idle: bool = True
    idle_weight: int = 1
    """What v2's cpu.weight reads in an idle group: 1 since it is clamped, 0 in Linux 6.1."""
    burst_divided: bool = False
    """A write of cpu.max divides cpu.max.burst by 1000, as before kernel commit 49217ea147df."""
    more: tuple[MoreFile, ...] = ()
    """Files besides those."""

    def files(self) -> dict[str, str]:
        """The cpu controller's files in a new cgroup."""
        v1 = self.version == 1
        found = {"cpu.shares": "1024"} if v1 else {"cpu.weight": "100"}
        if self.bandwidth:
            found |= {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"} if v1 else {"cpu.max": "max 100000"}
        if self.burst:
            found |= {"cpu.cfs_burst_us" if v1 else "cpu.max.burst": "0"}
        if self.idle:
            found |= {"cpu.idle": "0"}
        return found | {file.name: file.initial for file in self.more}

    def core_files(self) -> dict[str, str]:
        """The files that every cgroup has."""
        if self.version == 1:
            stat = "nr_periods 0\nnr_throttled 0\nthrottled_time 0"
            return {"cgroup.procs": "", "cpu.stat": stat, "cpuacct.usage": "0"}
        stat = "usage_usec 0\nuser_usec 0\nsystem_usec 0"
        return {"cgroup.procs": "", "cgroup.controllers": "", "cgroup.subtree_control": "", "cpu.stat": stat}


FAKES = {
    "fake-v1": Kernel(1),
    "fake-v2": Kernel(2),
    "fake-v2-early": Kernel(2, idle_weight=0, burst_divided=True),
}
"""The kernels that the contract runs over besides the real one."""


class Band(NamedTuple):
    """The bandwidth of one cgroup in microseconds; a quota of None is no limit."""

    quota: int | None
    period: int
    burst: int

    @property
    def ratio(self) -> int:
        """The kernel's fixed point with 20 bits, rounded down (to_ratio)."""
        return FOREVER if self.quota is None else (self.quota << 20) // self.period


class Descriptors:
    """Removed directories, held open: as in kernfs, no other one gets the inode number of one of them."""

    def hold(self, path: str) -> None:
        """Hold a directory open as long as there is this object."""
        weakref.finalize(self, os.close, os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


class FakeKernel(Host):
    """A host whose files are below `folder`: write(), mkdir() and rmdir() of cgroups do what the kernel does."""

    def __init__(self, folder: Path, kernel: Kernel) -> None:
        super().__init__(str(folder))
        self.kernel = kernel
        self.mount = "/sys/fs/cgroup/cpu,cpuacct" if kernel.version == 1 else "/sys/fs/cgroup"
        self.readonly = False
        self.cpus = 64
        self.writes: list[tuple[str, str]] = []
        """The writes that the kernel took, as (path, text)."""
        self.attempts = {"write": 0, "read": 0}
        self._faults: list[tuple[str, range, Fault]] = []
        self._removed = Descriptors()
        self._boot()

    # --- what a test asks for -----------------------------------------------------------------------------------------

    def at_write(self, number: int, fault: Fault, *, on: bool = False) -> None:
        """Let `fault` happen at the `number`-th write from now; `on`: and at all that follow."""
        self._script("write", number, fault, on)

    def at_read(self, number: int, fault: Fault, *, on: bool = False) -> None:
        """Let `fault` happen at the `number`-th read of a cgroup's file from now; `on`: and at all that follow."""
        self._script("read", number, fault, on)

    def heal(self) -> None:
        """No fault from now on."""
        self._faults.clear()

    def put_file(self, path: str, text: str) -> None:
        """Make an ordinary file."""
        file = Path(self.real(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole at once, as a kernel's is: other processes may be reading it.
        scratch = Path(f"{self.root}/.{os.getpid()}")
        scratch.write_text(text)
        scratch.replace(file)

    def add_process(self, pid: int, cgroup: str, command: str = "sleep", parent: int = 1) -> None:
        """A process in a cgroup."""
        self.put_file(f"/proc/{pid}/comm", f"{command.split(' ')[0][:15]}\n")
        self.put_file(f"/proc/{pid}/cmdline", command.replace(" ", "\0") + "\0")
        self.put_file(f"/proc/{pid}/stat", f"{pid} ({command[:15]}) S {parent} {pid} {pid} 0 -1\n")
        self.put_file(f"/proc/{pid}/status", f"Name:\t{command[:15]}\nUid:\t0\t0\t0\t0\n")
        program = self.real(f"/usr/bin/{command.split(' ')[0].strip('[]')}")
        self.put_file(program.removeprefix(self.root), "")
        Path(program).chmod(0o755)
        Path(self.real(f"/proc/{pid}/exe")).unlink(missing_ok=True)
        os.symlink(program, self.real(f"/proc/{pid}/exe"))
        self.put_file(f"/proc/{pid}/task/{pid}/children", "")
        children = Path(self.real(f"/proc/{parent}/task/{parent}/children"))
        if children.exists():
            children.write_text(f"{children.read_text()}{pid} ")
        self._enter(pid, cgroup)

    def end_process(self, pid: int) -> None:
        """Take a process away."""
        for file in sorted(Path(self.real(f"/proc/{pid}")).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        Path(self.real(f"/proc/{pid}")).rmdir()
        self._leave(pid)

    def remove_all(self, cgroup: str) -> None:
        """Remove a cgroup with all that are in it."""
        for child in self.children(self.mount + cgroup):
            self.remove_all(f"{cgroup}/{child}")
        self._remove(self.mount + cgroup)

    # --- what the kernel does -----------------------------------------------------------------------------------------

    def read(self, path: str, limit: int = 64 << 20) -> str:
        """Read a file."""
        if self._is_cgroup(os.path.dirname(path)):
            self._happen("read", path)
        return super().read(path, limit)

    def write(self, path: str, text: str) -> None:
        """Write a kernel file."""
        if self._happen("write", path, text):
            return
        if self.readonly:
            raise _error(errno.EROFS)
        if not os.path.exists(self.real(path)):
            raise _error(errno.ENOENT)
        directory, _, name = path.rpartition("/")
        rule = self._rules().get(name)
        if rule is None:
            _refuse()
        if text:  # a write of nothing does not reach the controller
            rule(directory, text)
        self._modify(path)
        self.writes.append((path, text))

    def online_cpus(self) -> int:
        """As many as a test wants, whatever this machine has."""
        return self.cpus

    def mkdir(self, path: str) -> None:
        """Make a directory; where it is a cgroup, the kernel's files appear in it."""
        if self.readonly:
            raise _error(errno.EROFS)
        super().mkdir(path)
        if self._is_cgroup(path):
            self._put(path, self.kernel.core_files())
            self._controller(path)

    def rmdir(self, path: str) -> None:
        """Remove a cgroup that has neither children nor processes."""
        if self.readonly:
            raise _error(errno.EROFS)
        if self._is_cgroup(path) and (self.children(path) or self._get(path, "cgroup.procs").strip()):
            raise _error(errno.EBUSY)
        self._remove(path)

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """No program is installed here."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])

    # --- its files ----------------------------------------------------------------------------------------------------

    def _boot(self) -> None:
        v1 = self.kernel.version == 1
        options = "cgroup cgroup rw,cpu,cpuacct" if v1 else "cgroup2 cgroup2 rw"
        lines = [f"32 31 0:29 / {self.mount} rw,nosuid - {options}"]
        if v1:
            lines.append(f"33 31 0:30 / {SYSTEMD_TREE} rw,nosuid - cgroup cgroup rw,name=systemd")
            os.makedirs(self.real(SYSTEMD_TREE))
        os.makedirs(self.real(self.mount))
        self.put_file("/proc/1/mountinfo", "\n".join(lines) + "\n")
        self._put(self.mount, self.kernel.core_files())
        if v1:
            self._put(self.mount, self.kernel.files())
        else:
            self._put(self.mount, {"cgroup.controllers": "cpu", "cgroup.subtree_control": "cpu"})
        self.add_process(1, "/", "init", parent=0)

    def _is_cgroup(self, path: str) -> bool:
        return path.startswith(f"{self.mount}/")

    def _put(self, directory: str, files: dict[str, str]) -> None:
        for name, text in files.items():
            self.put_file(f"{directory}/{name}", f"{text}\n" if text else "")

    def _modify(self, path: str) -> None:
        """Have inotify see that this file was written, as it does a kernel's: the same bytes once more."""
        with suppress(FileNotFoundError), open(self.real(path), "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), file.read(), 0)

    def _get(self, directory: str, name: str) -> str:
        return Path(self.real(f"{directory}/{name}")).read_text()

    def _number(self, directory: str, name: str) -> int:
        return int(self._get(directory, name)) if os.path.exists(self.real(f"{directory}/{name}")) else 0

    def _remove(self, path: str) -> None:
        for name in set(self.names(path)) - set(self.children(path)):
            os.unlink(self.real(f"{path}/{name}"))
        self._removed.hold(self.real(path))
        super().rmdir(path)

    def _controller(self, directory: str) -> None:
        """Bring the cpu controller's files in line with the parent's cgroup.subtree_control (v2)."""
        there = self.kernel.version == 1 or "cpu" in self._get(os.path.dirname(directory), "cgroup.subtree_control")
        files = self.kernel.files()
        if self.kernel.version == 2:
            self._put(directory, {"cgroup.controllers": "cpu" if there else ""})
        if not there:
            for name in files:
                Path(self.real(f"{directory}/{name}")).unlink(missing_ok=True)
        elif not os.path.exists(self.real(f"{directory}/cpu.weight")):
            self._put(directory, files)

    # --- its rules ----------------------------------------------------------------------------------------------------

    def _rules(self) -> dict[str, Callable[[str, str], None]]:
        both: dict[str, Callable[[str, str], None]] = {"cpu.idle": self._idle, "cgroup.procs": self._procs}
        both |= {file.name: partial(self._more, file) for file in self.kernel.more}
        if self.kernel.version == 2:
            own = {"cpu.weight": self._weight, "cpu.max": self._max, "cpu.max.burst": self._burst}
            return {**both, **own, "cgroup.subtree_control": self._subtree_control}
        bandwidth = {
            "cpu.cfs_quota_us": self._quota,
            "cpu.cfs_period_us": self._period,
            "cpu.cfs_burst_us": self._burst,
        }
        return {**both, **bandwidth, "cpu.shares": self._shares}

    def _more(self, file: MoreFile, directory: str, text: str) -> None:
        if directory == self.mount:
            _refuse()
        self._put(directory, {file.name: file.read_back(text)})

    def _shares(self, directory: str, text: str) -> None:
        number = _unsigned(text)
        if directory == self.mount or self._number(directory, "cpu.idle"):
            _refuse()
        self._put(directory, {"cpu.shares": str(min(max(number, 2), 262144))})

    def _weight(self, directory: str, text: str) -> None:
        number = _unsigned(text)
        if not 1 <= number <= 10000:
            raise _error(errno.ERANGE)
        if self._number(directory, "cpu.idle"):
            _refuse()
        self._put(directory, {"cpu.weight": str(number)})

    def _idle(self, directory: str, text: str) -> None:
        number = _signed(text)
        if directory == self.mount or number not in (0, 1):
            _refuse()
        if number == self._number(directory, "cpu.idle"):
            return
        v1, on = self.kernel.version == 1, number == 1
        weight = {"cpu.shares": "3" if on else "1024"}
        if not v1:
            weight = {"cpu.weight": str(self.kernel.idle_weight) if on else "100"}
        self._put(directory, {"cpu.idle": str(number), **weight})

    def _quota(self, directory: str, text: str) -> None:
        number = _signed(text)
        self._set(directory, self._band(directory)._replace(quota=None if number < 0 else number))

    def _period(self, directory: str, text: str) -> None:
        self._set(directory, self._band(directory)._replace(period=_unsigned(text)))

    def _burst(self, directory: str, text: str) -> None:
        number = _unsigned(text)
        if number > (FOREVER - 1) // 1000:
            _refuse()
        self._set(directory, self._band(directory)._replace(burst=number))

    def _max(self, directory: str, text: str) -> None:
        match = _MAX.match(text) or _refuse()
        digits = re.match("[0-9]+", match[1])
        if not digits and match[1] != "max":
            _refuse()
        band = self._band(directory)
        if self.kernel.burst_divided:
            band = band._replace(burst=band.burst // 1000)
        period = int(match[2]) if match[2] else band.period
        self._set(directory, band._replace(quota=int(digits[0]) if digits else None, period=period))

    def _band(self, directory: str) -> Band:
        if self.kernel.version == 2:
            quota, period = self._get(directory, "cpu.max").split()
            number = None if quota == "max" else int(quota)
            return Band(number, int(period), self._number(directory, "cpu.max.burst"))
        number = self._number(directory, "cpu.cfs_quota_us")
        period_ = self._number(directory, "cpu.cfs_period_us")
        return Band(None if number < 0 else number, period_, self._number(directory, "cpu.cfs_burst_us"))

    def _set(self, directory: str, band: Band) -> None:
        quota, period, burst = band
        if directory == self.mount or not 1000 <= period <= 1000000:
            _refuse()
        if quota is not None and (quota < 1000 or burst > quota or quota + burst > MAX_MICROSECONDS):
            _refuse()
        if self.kernel.version == 1 and not self._schedulable(self.mount, FOREVER, directory, band):
            _refuse()
        if self.kernel.version == 2:
            files = {"cpu.max": f"{'max' if quota is None else quota} {period}", "cpu.max.burst": str(burst)}
        else:
            number = "-1" if quota is None else str(quota)
            files = {"cpu.cfs_quota_us": number, "cpu.cfs_period_us": str(period), "cpu.cfs_burst_us": str(burst)}
        self._put(directory, {name: text for name, text in files.items() if name in self.kernel.files()})

    def _schedulable(self, at: str, limit: int, directory: str, band: Band) -> bool:
        """v1's rule, over the whole tree: no group above the nearest limited one over it."""
        own = (band if at == directory else self._band(at)).ratio
        if own != FOREVER and own > limit:
            return False
        return all(
            self._schedulable(f"{at}/{name}", min(own, limit), directory, band)  # a group without limit inherits
            for name in self.children(at)
        )

    def _subtree_control(self, directory: str, text: str) -> None:
        words = text.split()
        if any(word not in ("+cpu", "-cpu") for word in words):
            _refuse()
        for word in words:
            below = [f"{directory}/{name}" for name in self.children(directory)]
            if word == "+cpu" and "cpu" not in self._get(directory, "cgroup.controllers"):
                raise _error(errno.ENOENT)
            if word == "-cpu" and any("cpu" in self._get(child, "cgroup.subtree_control") for child in below):
                raise _error(errno.EBUSY)
            self._put(directory, {"cgroup.subtree_control": "cpu" if word == "+cpu" else ""})
            for child in below:
                self._controller(child)

    def _procs(self, directory: str, text: str) -> None:
        if not text.strip().isdigit():
            _refuse()
        pid = int(text)
        if not os.path.exists(self.real(f"/proc/{pid}")):
            raise _error(errno.ESRCH)
        self._leave(pid)
        self._enter(pid, directory.removeprefix(self.mount) or "/")

    def _enter(self, pid: int, cgroup: str) -> None:
        line = f"0::{cgroup}\n" if self.kernel.version == 2 else f"2:cpu,cpuacct:{cgroup}\n1:name=systemd:/\n"
        self.put_file(f"/proc/{pid}/cgroup", line)
        procs = Path(self.real(f"{self.mount}{cgroup.rstrip('/')}/cgroup.procs"))
        procs.write_text(f"{procs.read_text()}{pid}\n")

    def _leave(self, pid: int) -> None:
        for procs in Path(self.real(self.mount)).rglob("cgroup.procs"):
            procs.write_text("".join(line for line in procs.read_text().splitlines(True) if line != f"{pid}\n"))

    # --- its faults ---------------------------------------------------------------------------------------------------

    def _script(self, what: str, number: int, fault: Fault, on: bool) -> None:
        first = self.attempts[what] + number
        self._faults.append((what, range(first, first + (1 << 32 if on else 1)), fault))

    def _happen(self, what: str, path: str, text: str = "") -> bool:
        self.attempts[what] += 1
        over = False
        for kind, when, fault in self._faults:
            if kind == what and self.attempts[what] in when:
                over = fault(path, text) or over
        return over


def fail(number: int) -> Fault:
    """The kernel says no, with this errno."""

    def fault(_path: str, _text: str) -> bool:
        raise _error(number)

    return fault


def interrupt(error: BaseException) -> Fault:
    """A signal comes, which Python makes an exception."""

    def fault(_path: str, _text: str) -> bool:
        raise error

    return fault


def stuck(path: str, text: str) -> Fault:
    """A file that stays as it is when this is written, though the kernel says yes."""
    return lambda written, value: (written, value) == (path, text)


def vanish(host: FakeKernel, cgroup: str) -> Fault:
    """The cgroup is removed, by somebody else."""

    def fault(_path: str, _text: str) -> bool:
        if host.is_dir(host.mount + cgroup):
            host.remove_all(cgroup)
        return False

    return fault


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _refuse() -> NoReturn:
    raise _error(errno.EINVAL)


def _unsigned(text: str) -> int:
    match = _U64.fullmatch(text) or _refuse()
    digits = match[1]
    number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
    if number >= FOREVER:
        raise _error(errno.ERANGE)
    return number


def _signed(text: str) -> int:
    negative = text.startswith("-")
    number = _unsigned(text[1:] if negative else text)
    if number >= FOREVER >> 1:
        raise _error(errno.ERANGE)
    return -number if negative else number
