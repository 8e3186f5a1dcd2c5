"""The texts of cputune.yaml(5) that are nowhere else: the limits themselves come from the table of knobs.

They are written for `cputune.docgen.roff`, as in `cputune.docgen.manual`.
"""

from __future__ import annotations

SUMMARY = "saved CPU limits of one domain"

INTRODUCTION = (
    "There is one file for each domain with saved limits. `cputune set` *DOMAIN* --config writes it, `cputune "
    "schedinfo` *DOMAIN* --config shows it, `cputune guard` applies it at each start, `cputune apply` at any time. It "
    "may also be written by hand, or by configuration management.",
    "Files are replaced atomically: readers see the old one or the new one, even after a power failure. They belong to "
    "root and have mode 0644. --config-dir or `CPUTUNE_CONFIG_DIR` set another directory.",
)

MANY = (
    "`cputune apply --file` reads a file of several such documents, each with its `domain` (a bare *NAME* is enough), "
    "and a line `---` between them. A document changes the limits that it names, as `cputune set` would, and no "
    "others. Parents and children may be in one file: cputune finds the order in which to write their limits.",
)

MANY_EXAMPLE = """\
version: 1
domain: systemd:machine.slice
quota: 400000
---
version: 1
domain: docker:web
quota: 150000
"""

TRUST = (
    "A file tells root what to do. So if another user can change it, or replace it by writing to its directory, it is "
    "refused with exit status 5, and so is a symbolic link. (A user who runs cputune may have files of that user's "
    "own.) A file that is given with --file may be anybody's."
)

FORMAT = (
    "A file is one mapping of keys to plain values, with the units that the options accept: `quota: 50ms`, `cpus: "
    "150%`. It is read strictly. An unknown key, a key that occurs twice, a value out of range, a number with anything "
    "else around it (`5_000`, `010`, `50 ms`, or in quotes), `shares` together with `weight`, `quota` together with "
    "`cpus`, a `burst` above the `quota`: each is an error that names line and column, with exit status 2, and the "
    "domain is not changed. Errors say what was expected, and never repeat what the file contains: cputune(1), "
    "SECURITY.",
    "`cpus` means the same for every period: the quota is computed when the configuration is put into force, for the "
    "`period` of the file, else for the period that the domain has then.",
    "A limit whose key is missing is not changed. 0 does not mean that, and is refused: leave the key out.",
    "When cputune changes a file, it edits the lines of the keys, so that comments and their order are kept. If a file "
    "is not written as one `key: value` a line, that cannot be done; it is an error, and the file is not changed. A "
    "file without any limit left is removed.",
)

NAMES = (
    "The directory is named like the runtime, the file like the domain, followed by `.yaml`. Letters, digits and "
    "`_@+=,:.-\\` are kept; every other byte, and a dot at the beginning, becomes `%` and two hexadecimal digits. So "
    "no name can point outside the directory, or be hidden in it. If the result is longer than 200 bytes, it is cut "
    "and followed by its SHA-256; the key `domain` in the file has the full name.",
)

NAME_EXAMPLES = (
    ("lxc", "web"),
    ("lxc", "my web"),
    ("systemd", "ssh.service"),
    ("systemd", "1000/app.slice"),
    ("nspawn", ".hidden"),
)

KEYS = (
    ("version", "1", "The version of the file format. It is required."),
    (
        "domain",
        "RUNTIME:NAME",
        "The domain that the file is about. It may be omitted, but if it is there, it must match the name of the file.",
    ),
)

EXAMPLE = """\
# Half a CPU at the most, with some reserve for the nightly import.
version: 1
domain: "lxc:web"
shares: 512
period: 100000
quota: 50000    # microseconds per period
burst: 20000
"""
