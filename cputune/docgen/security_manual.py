"""The section SECURITY of cputune(1): who is trusted with what, and what each way to run cputune as root grants.

The texts are written for `cputune.docgen.roff`, as in `cputune.docgen.manual`.
"""

from __future__ import annotations

TRUST = (
    "cputune runs as root among things that users make: their containers' records and configurations, their own "
    "systemd and its bus, their cgroups, the names of their processes. None of these is believed. Whose a thing is, is "
    "told by the kernel: by the owner of a file and of every directory above it, and by the user ids of a process. "
    "Root's own files are trusted if nobody else can change them: the configurations, the state and the history are "
    "refused with exit status 5 otherwise.",
    "What users can do with that is limited to what is theirs. A user can hide or misname containers, make cputune "
    "report an error about them, and undo limits that are set on them. A limit that a user must not be able to lift "
    "belongs on what is root's: `cputune set systemd:user-`*UID*`.slice`.",
)

WORDS = (
    "An error about a file says in which line and column the mistake is and what was expected, and never what the file "
    "contains, whoever named it; of an unknown key, the known one that it resembles. Only if all of a file has been "
    "understood, the names of domains and the limits in it are shown, since these are what is done. Unexpected errors "
    "name a line of cputune. With `CPUTUNE_DEBUG`, their traceback may contain anything; sudo(8) does not pass that "
    "variable on, unless env_keep says so."
)

SUDOERS = (
    (
        "set web --cpus 0.5",
        "A line of sudoers(5) with fixed arguments grants this one change. The name means a domain of root's; no "
        "user's container answers to it. If a value may vary, use a regular expression as in RIGHTS.",
    ),
    (
        "set web *",
        "In sudoers, * matches spaces as well, and so any further domain and any option: this grants the limits of all "
        "domains, saved configurations included, and with --native what runtimes remember.",
    ),
    (
        "status, schedinfo, diff, history",
        "Shows the names and limits of all domains, and who has changed them with which command.",
    ),
    (
        "apply --file *, import *",
        "Grants the limits of all domains. Of another file than one of cputune's documents, it tells whether it exists "
        "and where it stops being one.",
    ),
    (
        "--root *, --config-dir *, --state-dir *, --data-dir *",
        "Grants everything: cputune writes below these directories as root, and carries out what it finds there. The "
        "same holds for the variables of these options, if env_keep passes them on.",
    ),
    (
        "run *, hook *, guard *, or no arguments at all",
        "Grants everything: `cputune run` starts any command as root.",
    ),
)
"""What sudoers(5) lists behind the path of cputune, and what that grants."""

PROGRAMS = (
    "The service of `cputune guard install` can read every file and process, become any user, and end processes of "
    "users (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SETUID, CAP_SETGID, CAP_KILL): it reads users' "
    "records, and asks a user's systemd as that user, in a child that it ends if there is no answer. It can write to "
    "/sys/fs/cgroup, /etc/cputune, /run/cputune and /var/lib/cputune only. It has no network and no devices, and gains "
    "no further capabilities. But systemd obeys it, as it does all of root's processes: the sandbox limits what a "
    "mistake can damage, not what root is.",
    "`cputune guard install` and `cputune hook install` write down a command that root will run again and again. They "
    "refuse that, with exit status 5, if another user can change what it runs: cputune itself, its interpreter, any "
    "file in the directories that Python imports from, a directory on the way, or a symbolic link. An installation in "
    "a home directory or below /tmp is therefore not enough; a virtual environment of root's is: `python3 -m venv "
    "/opt/cputune` and `/opt/cputune/bin/pip install cputune`, both as root.",
    "Root does not edit a bundle or a container's configuration that belongs to a user, nor one in a directory that "
    "others can write to, and follows no link of theirs. The user can do it, without root. Of what a runtime "
    "tells a hook on stdin, at most 1 MiB is read, and nothing is done if it is not the state of a container.",
)
