"""The guest's first process: mount, run the one command, hand back its status, power off (see `run`)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import tty
from typing import TypedDict

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PSEUDO = MS_NOSUID | MS_NODEV | MS_NOEXEC
MNT_DETACH = 2
RB_POWER_OFF = 0x4321FEDC
CGROUP = "/sys/fs/cgroup"


class Layout(TypedDict):
    """See `Layout` in `run`."""

    cpu: list[str] | None
    unified: str | None


class Job(TypedDict):
    """What `run` asks for."""

    layout: Layout
    command: list[str]
    cwd: str
    env: dict[str, str]
    from_host: list[str]


def main(scratch: str) -> None:
    """Do it all; an exception ends in a panic, after its traceback in the boot log."""
    job, status = receive(scratch)
    mount_system(job["from_host"])
    mount_cgroups(job["layout"])
    os.mkdir(job["env"]["HOME"])
    code = run(job)
    os.write(status, str(code).encode())
    os.fsync(status)
    LIBC.reboot(RB_POWER_OFF)


def receive(scratch: str) -> tuple[Job, int]:
    """Read the job, and open the one file of the host that the guest writes.

    The directory may be below /dev, which the kernel has mounted by now: mount it where nothing is mounted so far. That
    is undone before anybody can see it.
    """
    mount("none", "/proc", "hostfs", 0, scratch)
    with open("/proc/job.json") as file:
        job: Job = json.load(file)
    status = os.open("/proc/status", os.O_WRONLY)
    checked(LIBC.umount2(b"/proc", MNT_DETACH), "/proc")
    return job, status


# --- mounts -----------------------------------------------------------------------------------------------------------


def mount_system(from_host: list[str]) -> None:
    """Mount what every Linux has, and the host's directories that are hidden by it back in their places."""
    mount("proc", "/proc", "proc", PSEUDO)
    mount("sysfs", "/sys", "sysfs", PSEUDO)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666")
    for path, mode in ("/run", "0755"), ("/tmp", "1777"), ("/dev/shm", "1777"):
        # With setuid programs and devices: the tests of security make some.
        mount("tmpfs", path, "tmpfs", 0, f"mode={mode}")
    for name, target in ("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2"):
        os.symlink(f"/proc/self/fd{target}", f"/dev/{name}")
    for path in from_host:
        mount("none", path, "hostfs", MS_RDONLY, path)


def mount_cgroups(layout: Layout) -> None:
    """Put every controller where the layout wants it."""
    if layout["cpu"] is not None:
        mount("tmpfs", CGROUP, "tmpfs", PSEUDO, "mode=0755")
        mount("cgroup", f"{CGROUP}/systemd", "cgroup", PSEUDO, "none,name=systemd")
        for group in layout["cpu"]:
            mount_v1(group)
        for name in other_controllers():
            mount_v1_if_there(name)
    if layout["unified"] is not None:
        mount_v2(layout["unified"])


def mount_v1(group: str) -> None:
    """Mount one hierarchy; if it has several controllers, each gets a symlink, as systemd does it."""
    mount("cgroup", f"{CGROUP}/{group}", "cgroup", PSEUDO, group)
    for name in group.split(",") if "," in group else ():
        os.symlink(group, f"{CGROUP}/{name}")


def mount_v1_if_there(name: str) -> None:
    """Mount one controller, unless this kernel has it for cgroup2 alone: /proc/cgroups of 6.12 lists those too."""
    try:
        mount_v1(name)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        os.rmdir(f"{CGROUP}/{name}")


def mount_v2(path: str) -> None:
    """Mount cgroup2 and enable its controllers for the root's children, as any host with systemd has it."""
    mount("cgroup2", path, "cgroup2", PSEUDO)
    with open(f"{path}/cgroup.controllers") as file:
        names = file.read().split()
    with open(f"{path}/cgroup.subtree_control", "w") as file:
        file.write(" ".join(f"+{name}" for name in names))


def other_controllers() -> list[str]:
    """The controllers that this kernel has, without cpu and cpuacct."""
    with open("/proc/cgroups") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return [name for name, _, _, enabled in rows if enabled == "1" and name not in ("cpu", "cpuacct")]


def mount(source: str, path: str, kind: str, flags: int, data: str = "") -> None:
    """Call mount(2), on a directory that is made if need be."""
    os.makedirs(path, exist_ok=True)
    words = [os.fsencode(word) for word in (source, path, kind)]
    checked(LIBC.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), f"{kind} on {path}")


def checked(result: int, what: str) -> None:
    """Raise if a call of the C library failed."""
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


# --- the command ------------------------------------------------------------------------------------------------------


def run(job: Job) -> int:
    """Run the command; its output goes through a pipe, so that it does not take the console for a terminal."""
    console = os.open("/dev/tty1", os.O_WRONLY | os.O_NOCTTY)
    tty.setraw(console)
    source, sink = os.pipe()
    copying = threading.Thread(target=copy, args=(source, console))
    copying.start()
    code = start_and_wait(job, sink)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # what the command left behind would hold the pipe open
    copying.join()
    termios.tcdrain(console)
    return code


def start_and_wait(job: Job, sink: int) -> int:
    """Start the command, and return its status as a shell would."""
    try:
        child = subprocess.Popen(
            job["command"],
            cwd=job["cwd"],
            env=job["env"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    except OSError as error:
        os.write(sink, f"{error.filename}: {error.strerror}\n".encode())
        return 127 if isinstance(error, FileNotFoundError) else 126
    finally:
        os.close(sink)
    return reap_until(child.pid)


def reap_until(pid: int) -> int:
    """Wait for a child, burying the orphans meanwhile."""
    while True:
        dead, status = os.wait()
        if dead == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def copy(source: int, console: int) -> None:
    """Copy until all writers are gone."""
    while chunk := os.read(source, 65536):
        while chunk:
            chunk = chunk[os.write(console, chunk) :]


if __name__ == "__main__":
    # The kernel appends words of its own: root=98:0 console=tty0.
    main(sys.argv[1])
