"""What the tasks of a transaction act on: one host's cgroups, systemd, records and locks."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property

from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.systemd import Systemd
from cputune.transaction.applied import AppliedRecord, AppliedRecords
from cputune.transaction.locks import Locks


class Context:
    """What tasks act on, and who is told what they meet."""

    def __init__(self, cgroups: Cgroups, say: Callable[[str], None], command: str) -> None:
        self.cgroups = cgroups
        self.systemd = Systemd(cgroups.host)
        self.records = AppliedRecords(cgroups.host, lambda text: self.say(text))
        self.locks = Locks(cgroups.host)
        self.say = say
        """Called with what a user should know besides the result."""
        self.command = command
        """The command line, for the history."""
        self._boot = ""

    def current_record(self, domain: Domain) -> AppliedRecord | None:
        """What cputune put into force in the very cgroup that the domain has now; None for nothing."""
        applied, cgroup = self.records.of(domain), domain.limit_cgroup
        if applied is None or cgroup is None:
            return None
        return applied if applied.inode == self.cgroups.inode(cgroup) else None

    def may_have_pages(self) -> bool:
        """Whether the journal has anything in it: if not, the modules that read it need not be loaded."""
        host = self.cgroups.host
        for folder in (host.state_dir, host.data_dir):
            try:
                if os.listdir(os.path.join(folder, "journal")):
                    return True
            except FileNotFoundError:
                continue
            except OSError:
                return True  # what is wrong is said where it is read
        return False

    @property
    def boot(self) -> str:
        """The kernel's boot id (random(4)); empty where it cannot be read."""
        if not self._boot:
            self._boot = (self.cgroups.host.read_or_none("/proc/sys/kernel/random/boot_id") or "").strip()
        return self._boot

    @cached_property
    def who(self) -> str:
        """The name of the user who calls cputune; "USER as root" through sudo."""
        import pwd

        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
        sudo = os.environ.get("SUDO_USER")
        return f"{sudo} as {name}" if sudo else name
