"""The texts of cputune(1) that are nowhere else: the rest of it comes from the commands, their options and the knobs.

They are written for `cputune.docgen.roff`: `code`, --options and pages(1) become bold, *names* italic.
"""

from __future__ import annotations

from cputune.core.errors import Exit
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT
from cputune.host.system import CONFIG_DIR, DATA_DIR, STATE_DIR
from cputune.transaction.history_files import DAYS, FILE, FILE_DAYS, LARGE, LARGEST, LARGEST_OF_LARGE
from cputune.transaction.locks import LOCK_SECONDS

HELP_OPTION = "Print the options and examples of this command."

INTRODUCTION = (
    "cputune has the parameters of `virsh schedinfo` (cpu_shares, vcpu_period, vcpu_quota; live, config, current), and "
    "applies them to the containers of every runtime, to systemd units and to plain cgroups, on hosts with cgroup v1, "
    "v2 or both.",
    "Each change is a transaction: it is planned as a whole, written in an order that the kernel accepts, read back, "
    "and rolled back if any part of it fails. Data goes to stdout, everything else to stderr. No command ever asks a "
    "question, so that all of them can be used in scripts.",
)

TRANSACTIONS = (
    "Everything that one command changes is one transaction: live limits, saved configurations and what runtimes "
    "remember, of any number of domains. Either all of it is done, or nothing. (`cputune apply` without --file, and "
    "--keep-going, make each domain a transaction; on cgroup v1, nested domains are in one.) Before the first write, "
    "the values to go back to are stored on disk; after the last one, they are removed. If cputune is killed or the "
    "power fails in between, the next cputune that changes or shows something rolls the change back first, and says "
    "so; `cputune recover` does only that. Values that others have set meanwhile are left alone, and so are domains "
    "that have stopped or restarted.",
    "--dry-run prints what would be carried out, a line a step, and changes nothing: `set-property` is a call to "
    "systemd, `systemd-writes` what systemd will write to the unit's files in answer to it, `write` a write to a "
    "kernel file, `save` a saved configuration, `run` and `edit` what makes a runtime remember a limit, and `hold` a "
    "file that is written again only if that has changed it. Without --dry-run exactly these steps are carried out, "
    "and the files are read back. If a file does not have its value then, because another program was faster, it is "
    "written again, which is mentioned. With --json the steps of each domain are in `steps`.",
    "If a change fails and cannot be rolled back completely, the exit status is 8 and the error lists what is left. "
    "Every later cputune that changes the same domains tries again, until that succeeds or is given up with "
    "`cputune recover --discard`. If the values to go back to are damaged on disk, `recover` says so, and exits with "
    "status 8; other commands say so too, and go on.",
    f"Any number of cputune processes may run at once. Those that change the same domain have their turn in the "
    f"order in which they came, however many there are. Only if one process holds a lock for {LOCK_SECONDS} seconds, "
    "those that wait for it give up, and the error names that process. On cgroup v1, where a limit "
    "must not be above those of its ancestors, a change also waits for changes of an ancestor. Changes of other "
    "domains, and commands that only read, never wait.",
    "`cputune history` shows what was changed, by whom and with which command. `cputune undo` goes back to the state "
    "before the last change, of everything that was changed together, or of one domain. It does not overwrite values "
    "that have been changed since. If the history cannot be written, the change is made all the same, but cannot be "
    "undone, which is mentioned.",
)

NATIVE_LIMITS = (
    "docker, podman, incus, LXD, libvirt, LXC and systemd remember limits themselves. They write them to the cgroup "
    "when the container starts, and some of them at each update of the container, whatever it is about. --live and "
    "--config never change what they remember; `cputune status` shows it as drift if it differs from what is in force.",
    "With --native, together with --live --config (or with --config alone, if the domain is stopped), the runtime's "
    "limits are changed too, with its own command and as the last part of the same transaction, so that the runtime "
    "shows the new value, and sets it at its updates and at the next start: `docker update`, `podman update`, `incus "
    "config set`, `lxc config set` (LXD), `virsh define`, a line in LXC's configuration, a drop-in for systemd. If the "
    "command changes anything else in the cgroup, that is corrected at once. If it fails, everything is rolled back, "
    "including what it had changed already.",
    "A limit that the runtime has no setting for is refused with --native: for incus and LXD the weight, since their "
    "percentages mean something else, and quotas that are not whole milliseconds; for all but LXC the burst; for "
    "docker a period, or no limit at all, if the container was created with `--cpus`. podman cannot store that there "
    "is no limit: it gets the kernel's largest quota instead. runc, crun and containerd remember nothing.",
    "`status` *DOMAIN* asks systemd which limits it holds for a unit. The list of all domains does not, since that "
    "takes a call for each unit.",
)

GUARD = (
    "`cputune guard` applies the saved configuration of a domain when the domain starts, whatever starts it, and keeps "
    "limits that were set through cputune in force. It does not poll: inotify(7) tells it which cgroups are created "
    "and which limits are written. The domain of a new cgroup is known by the cgroup's name and by the records of the "
    "runtimes; if the name does not tell, it is found in the list of the runtime, within a few seconds. The limit is "
    "written to the kernel at once, and given to systemd after that. Values that are written in the first 5 seconds "
    "count as part of the start, as the runtime's own do, and are overwritten. If a limit is refused, because the disk "
    "is full or an ancestor's limit is lower, it is tried again after 30 seconds, then less and less often, and as "
    "soon as an ancestor's limit changes.",
    "Later changes by others are reported, on stderr or, as a service, in the journal with the fields CPUTUNE_DOMAIN, "
    "CPUTUNE_ACTION (ready, started, reported, repaired, left-alone, failed), CPUTUNE_KEY, CPUTUNE_APPLIED, "
    "CPUTUNE_LIVE and CPUTUNE_CAUSE. With --enforce they are undone, until the same program has made changes more than "
    "3 times within 60 seconds. Then the domain is left alone, which is reported as an error, until it restarts, "
    "cputune changes it, or the guard is reloaded. Limits that are set through cputune are kept from then on; those "
    "that are only saved are applied at the next start. If the kernel drops events, or has no watches left "
    "(fs.inotify.max_user_watches), the guard says so, and scans all cgroups.",
    "`cputune guard install` installs it as a service, `cputune-guard.service`, which is sandboxed, watched by "
    "systemd, and started at boot before the container runtimes. On hosts that are to have no further daemon, --timer "
    "has systemd run `cputune apply --started` once a minute. With hooks, runtimes can apply limits even earlier: "
    "`cputune hook`. These can be combined: each start is handled once. What a guard or a hook applies is in the "
    "journal, not in `cputune history`.",
)

PATTERNS = (
    "A configuration saved for a pattern, such as `docker:web-*`, is that of every domain of the runtime that matches "
    "it, even if the domain does not exist yet. As in a shell, * matches any characters, ? one character, [...] one of "
    "those listed, and none of them matches a slash: names with a slash need a pattern such as `oci:runc/*`. A domain "
    "has one configuration, and files are not merged: its own, or that of the matching pattern with the most literal "
    "characters, then with the fewest stars, then the first in alphabetical order. When something is saved for a "
    "single domain for the first time, its file starts with the values of its pattern. `cputune status --config` lists "
    "all saved configurations, including those of domains that do not exist.",
)

DOMAINS = (
    "`cputune status` lists the names of all domains. A bare *NAME* is looked up in every runtime except `cgroup` and "
    "`pid`. If several runtimes know it, that is an error which lists the full names; cputune never picks one. "
    "An id of docker, podman or containerd may be shortened as long as it is unique, without RUNTIME to no fewer than "
    "12 digits; a name takes precedence over an id that begins like it. A user's domains are named with the user's id, "
    "`podman:1000/web`; a name without an id is root's or the caller's own, never another user's.",
    "Names may contain spaces, backslashes and colons; quote them for the shell: "
    r"`cputune status 'systemd:machine-lxc\x2d438\x2dweb.scope'`. After `systemd:`, a name without a suffix is a "
    "service, as in systemctl(1); a bare name needs the suffix: `ssh.service`.",
    "A domain is *persistent* if its runtime still knows it after it has stopped: a defined container, an image, a "
    "unit with a unit file. All others are *transient*, and nothing can be saved for them.",
)

LIVE_AND_CONFIG = (
    ("--live", "The limits that the kernel has in force now. The domain must be running."),
    (
        "--config",
        "The limits that are saved for the domain in a YAML file: cputune.yaml(5). Only for persistent domains. "
        "`cputune guard` applies them at each start of the domain, `cputune apply` at any time. Saving them does not "
        "change what is in force.",
    ),
    (
        "--current",
        "Live if the domain is running, else the configuration. This is the default. "
        "--live and --config together change both in one transaction; a query of both is refused.",
    ),
)

SYSTEMD_UNITS = (
    "systemd holds the limits of its units as properties, and writes them to the cgroups again and again: when the "
    "unit is changed, or another unit starts in the same slice. So if the cgroup of a domain is a unit's, cputune "
    "first sets the property, at runtime and over D-Bus (busctl(1)), then writes the exact value to the file, and "
    "reads it back. As with `systemctl set-property --runtime`, systemd keeps the value until the next boot, and that "
    "of a scope until the scope ends. crun, and therefore podman, creates a cgroup `container` inside the scope and "
    "writes every limit to both; so does cputune.",
    "systemd rounds a quota down to a whole percentage of a CPU (since version 257, to hundredths of a percent). If "
    "that changes the value, cputune says so, and names the nearest quotas that systemd keeps unchanged. There is no "
    "property for the burst and, on cgroup v1, for idle, so they are written to the file only. A property that "
    "`systemctl set-property` without --runtime, or --native, has left in /etc/systemd/system.control overrides a "
    "runtime property at the next reload; cputune says so, too.",
    "If systemd cannot be reached, only the file is written, and stderr says so. systemd does not touch cgroups below "
    "a unit's, or outside its tree: there, only the file counts.",
)

PARAMETERS = (
    "Parameters that are not given do not change: a new quota keeps the period, a new period keeps the quota. 0 for "
    'shares, weight, period or quota is libvirt\'s "no value": live it changes nothing (and stderr says so), in the '
    "configuration it removes the key, and a quota of 0 also the number of CPUs. Anything that is not exactly a value "
    "in its range is refused, and nothing is changed.",
    "A time is a bare number of microseconds, or a number with one of the units `us`, `ms` and `s` and nothing between "
    "them: `--quota 50ms --period 0.1s`, and `vcpu_quota=50ms` for `schedinfo`. A number of CPUs may have decimals "
    "(`1.5`, `.5`), be a percentage of one CPU as in systemd (`150%`), or be in thousandths as in Kubernetes "
    "(`1500m`). Decimals are accepted where they are exact: to a whole microsecond, and to a millionth of a CPU. "
    "`unlimited` or `max` lifts the limit, given as a quota or as a number of CPUs. More CPUs than the host has are "
    "accepted as well, and stderr says so.",
    f"`--shares` and `--weight` are two units for the same thing, with the defaults {DEFAULT_SHARES} and "
    f"{DEFAULT_WEIGHT}. With cgroup v2 the kernel has only the weight, with v1 only the shares; the other one is "
    f"converted as in the kernel: weight = shares x {DEFAULT_WEIGHT} / {DEFAULT_SHARES}. But --shares has the meaning "
    "that it has for the domain's own runtime: for libvirt on v2, the shares are the weight, unconverted, as virsh(1) "
    "writes them; for docker, podman, containerd, runc and crun, they are converted as the installed runc or crun "
    "does: since runc 1.3.2 and crun 1.23 on a curve (1024 becomes 100, and 512 becomes 59), before that in proportion "
    "to the range (1024 becomes 39).",
    f"The default period is {DEFAULT_PERIOD} microseconds. A quota of half the period is half a CPU, one of twice the "
    "period is two CPUs; --cpus computes the quota, for the period that is given, else for the one in force. With "
    "--config the number of CPUs is saved, so that the same file is right where the period is different. A domain can "
    "use no more than the lowest of its own and its ancestors' limits. On v1 the kernel refuses a limit above an "
    "ancestor's; on v2 it accepts it, and cputune names the ancestor whose limit is lower.",
    "An idle group has no shares and no weight. `--no-idle` restores those that it had before cputune made it idle.",
)

RIGHTS = (
    "Reading needs no privilege: everybody may use `schedinfo` and `status`. Root's containers of docker, podman, "
    "containerd, runc and crun are listed only for those who may read their records: root, or a process with "
    "CAP_DAC_READ_SEARCH. `status` mentions what it had no permission to read.",
    "To change root's domains, and to save configurations, cputune has to run as root, but needs no capability: an "
    "empty bounding set is enough, since everything it writes to belongs to root. (A second docker daemon needs "
    "CAP_SYS_PTRACE.) To change a user's domains, root needs CAP_SETUID and CAP_SETGID, because a user's bus accepts "
    "only that user, and CAP_DAC_OVERRIDE, because the files are the user's. `history`, `undo` and `recover` need the "
    "privileges that the change needed.",
    "On cgroup v2, users may change their own units (`systemd:UID/NAME`) and rootless containers without any "
    "privilege; their state is in /run/user/*UID*/cputune and ~/.local/state/cputune. On v1, systemd does not delegate "
    "the cpu controller to users. A plain cgroup may be changed by everybody who may write to its files. A capability "
    "does not help with a systemd unit: systemd asks polkit, for the action org.freedesktop.systemd1.manage-units.",
    "A line in sudoers(5) permits one user a single command; the regular expression excludes other domains and "
    "options:",
)

SUDOERS = r"alice ALL=NOPASSWD: /usr/local/bin/cputune ^set web --cpus [0-9.]+$"

SANDBOX_NOTE = (
    "A service that applies configurations, or changes root's domains, can be sandboxed. ProtectControlGroups= is "
    "missing, since it would make the cgroups read-only. For users' domains, add the three capabilities above, "
    "ProtectHome=read-only, and leave only `~@resources` in the last line:"
)

SANDBOX = """\
[Service]
Type=oneshot
ExecStart=/usr/local/bin/cputune apply
ConfigurationDirectory=cputune
RuntimeDirectory=cputune
RuntimeDirectoryPreserve=yes
StateDirectory=cputune
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
"""

EXITS = {
    Exit.DONE: "Success. Also if everything was in force already.",
    Exit.UNEXPECTED: "Unexpected error: the output cannot be written, or there is a bug in cputune (`CPUTUNE_DEBUG=1` "
    "shows it).",
    Exit.USAGE: "Usage error: the command line, or a saved configuration, is invalid. Nothing was changed.",
    Exit.NO_DOMAIN: "No such domain, or several domains of that name.",
    Exit.UNSUPPORTED: "Not supported: the controller is not available, or the kernel or this cgroup lacks the limit.",
    Exit.PERMISSION: "Permission denied, or the file system is read-only.",
    Exit.WRONG_STATE: "Wrong state: the domain is not running, is transient, or has disappeared.",
    Exit.REFUSED: "Refused by the kernel, systemd, the runtime or the disk; or another cputune held a lock for too "
    "long. Everything has been rolled back.",
    Exit.NOT_PUT_BACK: "A change failed and could not be rolled back completely. The error says exactly what is left.",
    Exit.INTERRUPTED: "Interrupted, and rolled back. The status after signal *N* is 128 + *N*. If the signal came "
    "after everything was done, the status is 0.",
}

EXIT_NOTE = (
    "An error is a line on stderr: what failed, on which file or unit, with which value, and what the kernel said. "
    "Most errors have a second line, which begins with `hint:` and names a command to run. `cputune run` exits with "
    "the status of its command: cputune-run(1)."
)

FILES = (
    (
        f"{CONFIG_DIR}/domains/RUNTIME/NAME.yaml",
        "The saved configuration of one domain: cputune.yaml(5).",
    ),
    (
        f"{STATE_DIR}/",
        "What is kept until the next boot: the limits that cputune has put into force, so that drift is noticed and "
        "--no-idle can restore the weight, and the commands that `cputune run` has started. It may be removed while no "
        "cputune is running. Users other than root have their own, /run/user/*UID*/cputune.",
    ),
    (
        f"{STATE_DIR}/locks",
        "The file that is locked during a change, one byte of it for each domain and cgroup.",
    ),
    (
        f"{STATE_DIR}/journal/, {DATA_DIR}/journal/",
        "The values to go back to if a change that is being made fails or is interrupted. The second directory is for "
        "changes that outlive a reboot.",
    ),
    (
        f"{STATE_DIR}/damaged/, {DATA_DIR}/damaged/",
        "What a disk or a crash has damaged of the limits, values and changes that are kept here. All of it has "
        "checksums. What does not fit its checksum is named on stderr, once, moved here and not used. It may be looked "
        "at, or removed. If it was a change that was interrupted, what that had done by then stays as it is.",
    ),
    (
        f"{DATA_DIR}/history, {DATA_DIR}/history.TIME, {DATA_DIR}/history.large/ID",
        "The changes that `cputune history` shows and `cputune undo` reverts: a line of JSON with its checksum each. "
        f"At {FILE >> 20} MiB or {FILE_DAYS} days, the file is renamed and another one is begun. A change of so many "
        f"domains that it takes more than {LARGE >> 10} KiB has a file of its own, and no number of other changes "
        f"makes it go. The oldest changes are dropped after {DAYS} days, or when all files together exceed "
        f"{LARGEST >> 20} MiB, those of large changes {LARGEST_OF_LARGE >> 20} MiB; the command that drops them says "
        "so. Users other than root have their own, below "
        "~/.local/state/cputune.",
    ),
)

ENVIRONMENT = (
    ("CPUTUNE_DEBUG", "If not empty, unexpected errors show their traceback."),
    ("NO_COLOR", "If not empty, no colours are used, even on a terminal."),
)

SEE_ALSO = ("virsh(1)", "systemctl(1)", "systemd.resource-control(5)", "cgroups(7)", "sched(7)")

COMMAND_NOTE = (
    "cputune(1) describes the names of domains, live and config, the exit status, files and environment variables. The "
    "options of cputune itself (--root, --config-dir, --state-dir, --data-dir) come before the command."
)
