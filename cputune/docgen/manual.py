"""What only the manual says. Everything else in it is read from the commands, their options and the table of knobs.

Prose as `cputune.docgen.roff` takes it: `code`, --options and pages(1) become bold, *names* italic.
"""

from __future__ import annotations

from cputune.core.errors import Exit
from cputune.core.knobs import DEFAULT_PERIOD, DEFAULT_SHARES, DEFAULT_WEIGHT
from cputune.host.system import CONFIG_DIR, DATA_DIR, STATE_DIR
from cputune.transaction.history import LARGEST
from cputune.transaction.locks import LOCK_SECONDS

HELP_OPTION = "Print this command's options and examples."

INTRODUCTION = (
    "It takes the words of `virsh schedinfo` (cpu_shares, vcpu_period, vcpu_quota; live, config, current) and makes "
    "them hold for the containers of every runtime, for systemd's units and for plain cgroups, on cgroup v1, v2 and "
    "hybrid hosts.",
    "Each change is one transaction: it is planned as a whole, written in an order that the kernel accepts, read "
    "back, and put back as it was where any part of it fails. Data goes to stdout, everything else to stderr. "
    "Nothing asks a question, so all of it can be used in scripts.",
)

TRANSACTIONS = (
    "All that one command changes is one transaction, over any number of domains, live, saved, and what runtimes "
    "remember: all of it, or the state before. (`cputune apply` without --file, and --keep-going, make one of each "
    "domain; on cgroup v1 domains that are inside one another stay together.) Before the first change the way back is "
    "on disk; after the last one it is removed. So a cputune that is killed, or a power failure, leaves nothing "
    "half-done: the next cputune that changes or shows something goes back first, and says so; `cputune recover` does "
    "only that. What somebody else has set meanwhile is left alone, and so is what is gone or was started anew.",
    "Where a change fails and cannot be put back either, the exit status is 8 and the error lists what is left. It is "
    "tried again by each later cputune that changes the same domains, until it works or `cputune recover --discard` "
    "gives it up.",
    f"Any number of cputunes may run at once. Those that change one domain wait for each other, for {LOCK_SECONDS} "
    "seconds at most; then the error names the process that holds it. On cgroup v1, where a limit has to fit the ones "
    "above it, a change of a group also waits for one of a group above it. Changes of other domains, and readers, "
    "never wait.",
    "`cputune history` shows what was changed, by whom and with which command; `cputune undo` goes back to the state "
    "before the last change, of everything it had changed together, or of one domain. It refuses to overwrite what "
    "has another value by now. A history that cannot be written stops no change: that is said, and the change cannot "
    "be undone.",
)

MEMORY = (
    "docker, podman, incus, LXD, libvirt, LXC and systemd remember limits of their own. They write them into the "
    "cgroup when the container starts, and some at each of their own updates, whatever that is about. --live and "
    "--config never change what they remember: `cputune status` shows, as drift, where that is not what is in force.",
    "With --native, together with --live --config (of a stopped domain with --config alone), the change also goes to "
    "the runtime's own command, as the last part of the same transaction, so that its own display agrees, its updates "
    "keep the value, and its next start has it: `docker update`, `podman update`, `incus config set`, `lxc config set` "
    "(LXD), `virsh define`, a line in LXC's configuration, a drop-in of systemd's. What the command does to the cgroup "
    "besides is put right at once. If it is refused, all is put back, what it did half included.",
    "A limit that a runtime has no setting for is refused with --native: the weight for incus and LXD, whose "
    "percentages are something else, quotas that are not whole milliseconds for them, the burst for all but LXC, for "
    "docker a period or no limit at all for a container that was made with `--cpus`. podman has no word for no limit: "
    "the largest quota of the kernel stands for it. Containers of runc, crun and containerd have no such memory.",
    "Of systemd's units, `status` *DOMAIN* asks systemd what it holds; the list of all does not, since that is a call "
    "for each.",
)

GUARD = (
    "`cputune guard` puts what is saved for a domain into force when that starts, whatever starts it, and keeps what "
    "cputune has put into force. It does not poll: the kernel tells it (inotify(7)) of each cgroup that is made and "
    "each limit that is written. A new cgroup is recognized by its name and the records of the runtimes; one whose "
    "name says nothing is found in the runtime's list, within some seconds. The limit goes into the kernel at once, "
    "and to systemd after that. What is written in the first 5 seconds belongs to the start, as by the runtime, and "
    "does not stay. What is refused, by a full disk or a smaller limit above it, is tried again after 30 seconds, "
    "then less often, and as soon as a limit above it is changed.",
    "What anybody but cputune changes later is reported, on stderr or, as a service, to the journal with the fields "
    "CPUTUNE_DOMAIN, CPUTUNE_ACTION (ready, started, reported, repaired, left-alone, failed), CPUTUNE_KEY, "
    "CPUTUNE_APPLIED, CPUTUNE_LIVE and CPUTUNE_CAUSE. With --enforce it is put back, unless the same writer has come "
    "back more than 3 times within 60 seconds: then the domain is left alone, and that is reported as an error, until "
    "it starts anew, cputune changes it, or the guard is reloaded. What is set through cputune is kept from then on, "
    "and what is only saved counts from the next start. Where the kernel drops events, or has no watches left "
    "(fs.inotify.max_user_watches), the guard says so, and looks at everything.",
    "`cputune guard install` makes a service of it, `cputune-guard.service`: sandboxed, watched by systemd, started at "
    "boot before the container runtimes. For hosts that are to have no daemon, --timer has systemd start `cputune "
    "apply --started` once a minute. Runtimes with hooks can have it earlier: `cputune hook`. Of all of them, each "
    "start is done once. What a guard or a hook puts into force is in the journal, not in `cputune history`.",
)

PATTERNS = (
    "What is saved for a pattern, `docker:web-*`, counts for every domain of that runtime that fits it, there or not "
    "so far: * stands for any letters, ? for one, [...] for one of some, none of them for a slash, as in a shell: "
    "`oci:runc/*`, since those names have one. One "
    "file counts for a domain, and files are not merged: its own, else that of the pattern with most letters of its "
    "own, of these the one with fewest stars, of these the first by the alphabet. To save something for a domain that "
    "a pattern fits begins with what the pattern has. `cputune status --config` lists all that is saved, also for "
    "domains that are not there.",
)

DOMAINS = (
    "The names of all domains: `cputune status`. A bare *NAME* is looked for in every runtime except `cgroup` and "
    "`pid`. More than one that knows it is an error that lists the full names: never is the first one taken. "
    "An id of docker, podman or containerd may be shortened as long as only one begins so, to no less than 12 digits "
    "where the runtime is not named; a name comes before an id that begins like it. What belongs to a user is named "
    "with his number, `podman:1000/web`; without one, a name is root's or the caller's own, never another user's.",
    "A name may have spaces, backslashes and colons of its own; quote it for the shell: "
    r"`cputune status 'systemd:machine-lxc\x2d438\x2dweb.scope'`. After `systemd:`, a name without a suffix is a "
    "service, as in systemctl(1); a bare name needs the suffix: `ssh.service`.",
    "A domain is *persistent* when its runtime still knows it after it stopped: a defined container, an image, a unit "
    "with a unit file. All others are *transient*, and nothing can be saved for them.",
)

LIVE_AND_CONFIG = (
    ("--live", "What the kernel has in force, now. The domain must run."),
    (
        "--config",
        "What is saved for the domain, as one YAML file: cputune.yaml(5). Only for persistent domains. "
        "`cputune guard` puts it into force at each start of the domain, `cputune apply` at any time; it changes "
        "nothing that is in force already.",
    ),
    (
        "--current",
        "Live where the domain runs, else the configuration; the same as none of the three. "
        "--live and --config together change both in one transaction; a query of both is refused.",
    ),
)

OWNERS = (
    "systemd has its own idea of the limits of its units, and writes it into their cgroups again and again: at a "
    "change of the unit, or when another unit starts in the same slice. So where the cgroup of a domain is a unit's, "
    "cputune first gives the change to systemd, as a runtime property over D-Bus (busctl(1)), then writes the exact "
    "value into the file, and reads it back. As with `systemctl set-property --runtime`, systemd keeps the value until "
    "the next boot, for a scope until it ends. crun, and so podman, has a cgroup `container` inside the scope, "
    "and writes every limit to both: so does cputune.",
    "systemd keeps a quota as a whole percentage of a CPU (since version 257 in hundredths of a percent), rounded "
    "down. Where that makes a difference, cputune says "
    "so and names the nearest quotas that stay as they are. Burst has no property, and on cgroup v1 nor has idle: "
    "they go to the file alone. What `systemctl set-property` without --runtime, or --native, has left in "
    "/etc/systemd/system.control hides a runtime property at the next reload; then cputune says that, too.",
    "Where systemd cannot be reached, the file alone is written, and stderr says so. Cgroups below a unit's, and those "
    "outside its tree, systemd leaves alone: there the file is all there is.",
)

PARAMETERS = (
    "What is not named does not change: a new quota keeps the period, a new period the quota. 0 for shares, weight, "
    'period or quota is libvirt\'s "no value": live it changes nothing (and stderr says so), in the configuration it '
    "removes the key. Anything that is not exactly a number in its range is refused, with nothing touched.",
    f"`--shares` and `--weight` are two units of one thing, with the defaults {DEFAULT_SHARES} and {DEFAULT_WEIGHT}. "
    "A kernel with cgroup v2 has the weight alone, one with v1 the shares; the other is converted as the kernel does "
    f"it: weight = shares x {DEFAULT_WEIGHT} / {DEFAULT_SHARES}. But --shares means what the domain's own runtime "
    "means by it: for libvirt on v2 the shares are the weight, unconverted, as virsh(1) writes them; for docker, "
    "podman, containerd, runc and crun they are converted as the installed runc or crun does it: on a curve on which "
    "1024 are 100 and 512 are 59 since runc 1.3.2 and crun 1.23, in proportion to the range (1024 are 39) before.",
    f"The default period is {DEFAULT_PERIOD} microseconds. A quota of half the period is half a CPU, of twice the "
    "period two; --cpus computes it. The smallest limit of a domain and all its ancestors is the one that counts. On "
    "v1 the kernel refuses a limit above an ancestor's; on v2 it takes it, and cputune names the ancestor that binds.",
    "An idle group has no shares and no weight. `--no-idle` gives back those that it had before cputune made it idle.",
)

RIGHTS = (
    "Anybody may look: `schedinfo` and `status` need no privilege. Containers of docker, podman, containerd, runc and "
    "crun that are root's are listed only for those who may read their records: root, or a process with "
    "CAP_DAC_READ_SEARCH; `status` says what it could not look into.",
    "To change what is root's, and to save, cputune has to run as root, but needs no capability: an empty bounding "
    "set is enough, since all it writes belongs to root. (A further docker daemon takes CAP_SYS_PTRACE.) To change "
    "what is a user's, root needs CAP_SETUID and CAP_SETGID, because a user's bus lets only himself in, and "
    "CAP_DAC_OVERRIDE, because the files are his. `history`, `undo` and `recover` need what the change needed.",
    "On cgroup v2 a user may change his own units (`systemd:UID/NAME`) and rootless containers without any privilege; "
    "what he did is in /run/user/*UID*/cputune and ~/.local/state/cputune. On v1 systemd delegates no cpu controller "
    "to users. A plain cgroup may be changed by whoever may write its files. A capability is no way to a systemd unit: "
    "systemd asks polkit, for the action org.freedesktop.systemd1.manage-units.",
    "One command for one user is a line of sudoers(5); the expression keeps him from other domains and options:",
)

SUDOERS = r"alice ALL=NOPASSWD: /usr/local/bin/cputune ^set web --cpus [0-9.]+$"

SANDBOX_NOTE = (
    "A service that applies configurations, or changes root's domains, can be locked in. ProtectControlGroups= would "
    "make the cgroups read-only, so it is not there; for users' domains it takes the three capabilities above, "
    "ProtectHome=read-only, and only `~@resources` in the last line:"
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
    Exit.DONE: "Done. Also where what was asked for is in force already.",
    Exit.UNEXPECTED: "Unexpected: the output cannot be written; or a mistake in cputune (`CPUTUNE_DEBUG=1` shows it).",
    Exit.USAGE: "Usage: the command line, or a saved configuration, cannot be meant. Nothing was touched.",
    Exit.NO_DOMAIN: "No such domain, or more than one of that name.",
    Exit.UNSUPPORTED: "Not supported: the controller is not available, or the kernel or this cgroup lacks the limit.",
    Exit.PERMISSION: "Permission: the rights are missing, or the file system is read-only.",
    Exit.WRONG_STATE: "Wrong state: the domain is not running, is transient, or went away.",
    Exit.REFUSED: "Refused by the kernel, systemd, the runtime or the disk, or another cputune did not end. Everything "
    "is as it was before.",
    Exit.NOT_PUT_BACK: "A change failed and could not be put back whole. The error says exactly what is left.",
    Exit.INTERRUPTED: "Interrupted: what was under way is as it was before. After signal *N* it is 128 + *N*. A signal "
    "that comes when all is done changes nothing: that is 0.",
}

EXIT_NOTE = (
    "An error is a line on stderr: what failed, on which file or unit, with which value, and what the kernel said. "
    "Most have a second line, which begins with `hint:` and names a command to run. `cputune run` ends with the status "
    "of its command: cputune-run(1)."
)

FILES = (
    (
        f"{CONFIG_DIR}/domains/RUNTIME/NAME.yaml",
        "The saved configuration of one domain: cputune.yaml(5).",
    ),
    (
        f"{STATE_DIR}/",
        "The memory of this boot: what cputune put into force (so that drift can be seen, and --no-idle gives back "
        "the weight), and what `cputune run` started. It can be removed when no cputune runs. Users other than root "
        "have their own, /run/user/*UID*/cputune.",
    ),
    (
        f"{STATE_DIR}/locks",
        "What is locked during a change, a byte of it for each domain and cgroup.",
    ),
    (
        f"{STATE_DIR}/journal/, {DATA_DIR}/journal/",
        "The way back of changes that are under way, or were cut off; the second is for those that outlive a reboot.",
    ),
    (
        f"{DATA_DIR}/history",
        f"What `cputune history` shows and `cputune undo` takes back: a JSON line a change. At {LARGEST >> 20} MiB the "
        "older half goes. Users other than root have their own, below ~/.local/state/cputune.",
    ),
)

ENVIRONMENT = (
    ("CPUTUNE_DEBUG", "Not empty: an unexpected error shows its traceback."),
    ("NO_COLOR", "Not empty: no colours, also on a terminal."),
)

SEE_ALSO = ("virsh(1)", "systemctl(1)", "systemd.resource-control(5)", "cgroups(7)", "sched(7)")

COMMAND_NOTE = (
    "How domains are named, live and config, exit status, files and environment: cputune(1). The options of cputune "
    "itself (--root, --config-dir, --state-dir, --data-dir) come before the command."
)

YAML_SUMMARY = "saved CPU limits of one domain"

YAML_INTRODUCTION = (
    "One file for each domain that limits are saved for. `cputune set` *DOMAIN* --config writes it, "
    "`cputune schedinfo` *DOMAIN* --config shows it, `cputune guard` puts it into force at each start, `cputune apply` "
    "at any time. It may as well be written by "
    "hand, or by configuration management.",
    "A file is replaced as a whole: readers see the old one or the new one, also after a power failure. It belongs to "
    "root, mode 0644. The directory is another one with --config-dir, or `CPUTUNE_CONFIG_DIR`.",
)

YAML_MANY = (
    "`cputune apply --file` takes a file of many documents of this form, each with its `domain` (a bare *NAME* will "
    "do) and a line `---` between them. A document changes what it names, as `cputune set` would; what it does not "
    "name stays. Parents and children may be in one file: the order is worked out.",
)

YAML_MANY_EXAMPLE = """\
version: 1
domain: systemd:machine.slice
quota: 400000
---
version: 1
domain: docker:web
quota: 150000
"""

YAML_TRUST = (
    "A file says what root does: one that somebody other than root can change, or replace since he can write in its "
    "directory, is refused with exit status 5, and so is a symbolic link. (Of a user who runs cputune, his own are "
    "his.) A file for --file is taken from whoever names it."
)

YAML_FORM = (
    "A file is one mapping of keys to plain values. It is read strictly: an unknown key, one that is there twice, a "
    "value out of range, a number with anything around it (`5_000`, `010`, `5000us`, or in quotes), `shares` together "
    "with `weight`, a `burst` above the `quota`: each is an error with the line, exit status 2, and the domain stays "
    "as it is.",
    "A key that is not there is not changed. There is no 0 for it: leave the key out.",
    "When cputune changes a file, the lines of the keys change in place, so comments and order stay. A file that is "
    "not written one `key: value` a line cannot be changed so; that is an error, and the file stays. Without any limit "
    "left, the file is removed.",
)

YAML_NAMES = (
    "The directory is the runtime, the file the name with `.yaml` behind it. Letters, digits and `_@+=,:.-\\` stay; "
    "every other byte, and a dot at the beginning, is `%` and two hexadecimal digits. So no name can leave the "
    "directory, or be hidden in it. A name that becomes longer than 200 bytes is cut, with its SHA-256 behind it; its "
    "key `domain` tells which one it is.",
)

YAML_NAME_EXAMPLES = (
    ("lxc", "web"),
    ("lxc", "my web"),
    ("systemd", "ssh.service"),
    ("systemd", "1000/app.slice"),
    ("nspawn", ".hidden"),
)

YAML_KEYS = (
    ("version", "1", "The form of the file. It has to be there."),
    (
        "domain",
        "RUNTIME:NAME",
        "Whose file it is. It may be left out; another one than the file's name says is refused.",
    ),
)

YAML_EXAMPLE = """\
# Half a CPU at the most, with some reserve for the nightly import.
version: 1
domain: "lxc:web"
shares: 512
period: 100000
quota: 50000    # microseconds per period
burst: 20000
"""
