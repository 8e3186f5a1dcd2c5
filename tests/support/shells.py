"""Shells at terminals of their own, on a host with domains, and what TAB offers there."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import click

from cputune.cli.main import COMMANDS, cli
from cputune.core.knobs import KNOBS
from cputune.runtimes.registry import RUNTIMES
from tests.support.machine import give_up
from tests.support.waiting import SECONDS

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
DOMAINS = [
    "lxc:db",
    "lxc:it's",
    "lxc:my web",
    "lxc:odd;$(touch pwned)",
    "lxc:twin",
    "nspawn:twin",
    r"systemd:machine-lxc\x2d438.scope",
    "systemd:machine.slice",
    "systemd:ssh.service",
    "systemd:system.slice",
    "systemd:user@1000.service",
]
CONTAINERS = [name.removeprefix("lxc:") for name in DOMAINS if name.startswith("lxc:")]
BARE = [name.partition(":")[2] for name in DOMAINS if not name.endswith(":twin")]
"""What a name alone can mean; twin is known to two runtimes."""


def make_host(root: Path) -> None:
    """A host with systemd on cgroup v2, some units, some LXC containers that do not run, and an image of nspawn."""
    mounted = root / "sys/fs/cgroup"
    units = ("system.slice/ssh.service", "system.slice/user@1000.service", r"machine.slice/machine-lxc\x2d438.scope")
    for unit in units:
        (mounted / unit).mkdir(parents=True)
    for folder in (mounted, *(path for path in mounted.rglob("*") if path.is_dir())):
        (folder / "cgroup.controllers").write_text("cpu\n")
        (folder / "cpu.weight").write_text("100\n")
        (folder / "cpu.max").write_text("max 100000\n")
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/1/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n")
    (root / "run/systemd/system").mkdir(parents=True)
    for name in CONTAINERS:
        (root / "var/lib/lxc" / name).mkdir(parents=True)
        (root / "var/lib/lxc" / name / "config").touch()
    (root / "var/lib/machines/twin").mkdir(parents=True)


def find(shell: str) -> str:
    """The path of a shell."""
    return shutil.which(shell) or give_up(f"{shell} is not installed")


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, argv: list[str], environment: dict[str, str], setup: str) -> None:
        self.packaged = str(BASH_COMPLETION) in setup
        self.offered, self.line = Path(environment["OFFERED"]), Path(environment["LINE"])
        master, slave = pty.openpty()
        # setsid makes the terminal the shell's own, without a fork in a Python that may have threads.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave, stdout=slave, stderr=slave, cwd=environment["HOME"], env=environment,
        )  # fmt: skip
        os.close(slave)
        self.master = master
        self.seen = b""
        self.send(f"{setup}\n")
        self.send('printf "%s-%s\\n" set up\n')
        self.until(lambda: b"set-up" in self.seen)

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, condition: Callable[[], bool]) -> None:
        """Read what the shell prints until something has happened."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.seen.decode(errors="replace")
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)

    def complete(self, text: str) -> tuple[list[str], str]:
        """Type a text and TAB; what is offered, and the line then."""
        for path in (self.offered, self.line):
            path.unlink(missing_ok=True)
        self.send(f"\x15{text}\t\x18l")
        self.until(self.line.exists)
        self.until(lambda: self.line.read_text().endswith("\n"))
        offered = self.offered.read_text().splitlines() if self.offered.exists() else []
        return sorted(filter(None, offered)), self.line.read_text()[:-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


Fish = Callable[[str], list[str]]


def has_letters(text: str, letters: str) -> bool:
    """Whether a text has these letters in this order, with others between them."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


ASSIGNMENTS = sorted(f"{knob.virsh}=" for knob in KNOBS if knob.virsh)
WITHOUT_ASKING = [
    ("cputune ", sorted(COMMANDS)),
    ("cputune s", ["schedinfo", "set", "status"]),
    ("cputune --root /mnt s", ["schedinfo", "set", "status"]),
    ("cputune --root /mnt --s", ["--state-dir"]),
    ("cputune set --c", ["--config", "--cpus", "--current"]),
    ("cputune set db --id", ["--idle"]),
    ("cputune set --quota ", ["unlimited"]),
    ("cputune run --name build --quota ", ["unlimited"]),
    ("cputune set --period ", []),
    ("cputune set --cpus w", []),
    ("cputune set --cpus un", ["unlimited"]),
    ("cputune status --runtime ", sorted(RUNTIMES)),
    ("cputune status --runtime l", sorted(name for name in RUNTIMES if name[0] == "l")),
    ("cputune schedinfo db ", ASSIGNMENTS),
    ("cputune schedinfo db vcpu_quota=5000 cpu_", [word for word in ASSIGNMENTS if word.startswith("cpu_")]),
    ("cputune schedinfo --set ", ASSIGNMENTS),
    ("cputune schedinfo --json db --set vcpu_", [word for word in ASSIGNMENTS if word.startswith("vcpu_")]),
    ("cputune run --cp", ["--cpus"]),
    ("cputune run busyw", ["busywork"]),
    ("cputune run -- busyw", ["busywork"]),
    ("cputune run --cpus 2 --idle -- busyw", ["busywork"]),
    ("cputune nosuch ", []),
]


ASKING = [
    *((f"cputune {command} ", DOMAINS + BARE) for command in ("set", "schedinfo", "status", "apply")),
    ("cputune set db ", DOMAINS + BARE),
    ("cputune set --live --quota 5000 --cpus=2 d", ["db"]),
    ("cputune set --quota 5000 -- d", ["db"]),
    ("cputune set ssh", ["ssh.service"]),
    ("cputune set machine", [r"machine-lxc\x2d438.scope", "machine.slice"]),
    ("cputune set tw", []),
    ("cputune --state-dir /tmp set d", ["db"]),
    ("cputune --root /nonexistent set ", []),
    ("cputune --root '/not existent' set ", []),
    ("cputune set nosuch", []),
]


# Fish asks for all names and chooses itself: where nothing begins with a text, it offers what has it anywhere.
FISH_ASKING = [
    *(case for case in ASKING if case[0] not in ("cputune set nosuch", "cputune set tw")),
    ("cputune set tw", ["lxc:twin", "nspawn:twin"]),
]


def long_options(name: str) -> list[str]:
    """The options of a command, from its definition."""
    command = cli if not name else cli.get_command(click.Context(cli), name)
    assert command
    return sorted(["--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts)
                               if name.startswith("--"))])  # fmt: skip


OPTIONS = [(f"cputune {name} --" if name else "cputune --", long_options(name)) for name in ("", *COMMANDS)]


def calls(environment: dict[str, str]) -> int:
    """How often cputune has been started."""
    path = Path(environment["CALLED"])
    return path.read_text().count("called") if path.exists() else 0


def unquoted(offered: list[str]) -> list[str]:
    """What bash was given to insert, as the words that they are."""
    return sorted(word for text in offered for word in shlex.split(text))


LINES = [
    ("cputune se", "cputune set "),
    ("cputune set lxc:d", "cputune set lxc:db "),
    ("cputune set lxc:tw", "cputune set lxc:twin "),
    ("cputune set nspawn:", "cputune set nspawn:twin "),
    ("cputune set ssh", "cputune set ssh.service "),
    ("cputune set lxc:m", r"cputune set lxc:my\ web "),
    (r"cputune set lxc:my\ w", r"cputune set lxc:my\ web "),
    ("cputune set 'lxc:my w", "cputune set 'lxc:my web' "),
    ('cputune set "lxc:my w', 'cputune set "lxc:my web" '),
    ("cputune set systemd:machine-", r"cputune set systemd:machine-lxc\\x2d438.scope "),
    (r"cputune set systemd:machine-lxc\\x2d4", r"cputune set systemd:machine-lxc\\x2d438.scope "),
    (r"cputune set 'systemd:machine-lxc\x2d4", r"cputune set 'systemd:machine-lxc\x2d438.scope' "),
    ("cputune set systemd:user@", "cputune set systemd:user@1000.service "),
    ("cputune set systemd:user@10", "cputune set systemd:user@1000.service "),
    ("cputune set db lxc:d", "cputune set db lxc:db "),
    ("cputune set lxc:", "cputune set lxc:"),
    ("nice cputune set lxc:d", "nice cputune set lxc:db "),
    ("cputune set --quota=", "cputune set --quota=unlimited "),
    ("cputune set --quota=u", "cputune set --quota=unlimited "),
    ("cputune --root fo", "cputune --root folder/"),
    ("cputune --root=fo", "cputune --root=folder/"),
    ("cputune schedinfo db vcpu_q", "cputune schedinfo db vcpu_quota="),
    ("cputune schedinfo db --set cpu_s", "cputune schedinfo db --set cpu_shares="),
    ("cputune run -- busywork no", "cputune run -- busywork notes.txt "),
    ("cputune run busywork --", "cputune run busywork --"),
]


def shortest(name: str) -> str:
    """The least of a name that no other begins with."""
    beginnings = (name[:end] for end in range(1, len(name) + 1))
    return next(text for text in beginnings if [other for other in DOMAINS + BARE if other.startswith(text)] == [name])
