"""podman remembers limits in its database, and in the OCI configuration of what runs; `podman update` changes both."""

from __future__ import annotations

from typing import Any

from cputune.core.errors import Gone, Unsupported
from cputune.core.knobs import MAX_QUOTA, UNLIMITED, Quota
from cputune.core.model import Change, Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import podman
from cputune.runtimes.json_files import integer_at, load_object, value_at
from cputune.runtimes.native.settings import (
    NativePlan,
    RunCommand,
    Settings,
    WantedSettings,
    refuse_other_host,
    refuse_other_knobs,
)
from cputune.runtimes.native.update import bandwidth_options, plan_update

# podman update ignores --cpu-quota -1 (5.4.2, with exit status 0): the kernel's largest is as good as no limit.
_NO_LIMIT = str(MAX_QUOTA)


def read(cgroups: Cgroups, domain: Domain) -> Settings:
    """Return the limits of the container. Raises Unreadable."""
    cpu = _cpu(cgroups, domain)
    found = integer_at(cpu, "quota")
    quota: Quota | None = UNLIMITED if found < 0 or found >= MAX_QUOTA else found or None
    change = Change(shares=integer_at(cpu, "shares") or None, period=integer_at(cpu, "period") or None, quota=quota)
    return Settings(change, tuple(integer_at(cpu, key) for key in ("shares", "period", "quota")))


def _cpu(cgroups: Cgroups, domain: Domain) -> dict[str, Any]:
    """Return linux.resources.cpu of the container's specification.

    An update of a stopped container is in the database alone; the OCI configuration is written at the next start.
    """
    stored = None if domain.running else _stored(cgroups, domain)
    spec = stored
    if spec is None:
        spec = load_object(cgroups, f"{domain.details.records}/config.json", domain.details.owner or 0)
    found = value_at(spec, "linux", "resources", "cpu")
    return found if isinstance(found, dict) else {}


def _stored(cgroups: Cgroups, domain: Domain) -> dict[str, Any] | None:
    """Return the specification in podman's database; None if that is another user's, or cannot be read."""
    entry = podman.of_domain(cgroups, domain)
    if entry is None or not _is_ours(cgroups, entry):
        return None
    database_path = f"{entry.storage.graph_root}/db.sql"
    if not cgroups.host.foreign.exists(database_path, entry.storage.owner):
        return None
    path = cgroups.host.real(database_path)
    try:
        import json
        import sqlite3
        from contextlib import closing
        from urllib.parse import quote

        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=2)) as database:
            row = database.execute("SELECT JSON FROM ContainerConfig WHERE ID = ?", (entry.id,)).fetchone()
        found = value_at(json.loads(row[0]), "spec") if row else None
    except (ImportError, sqlite3.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_ours(cgroups: Cgroups, entry: podman.Entry) -> bool:
    """Whether the database is root's or the caller's: root must not open another user's."""
    return entry.storage.user is None or entry.storage.user.uid == cgroups.host.uid


def plan(cgroups: Cgroups, domain: Domain, wanted: WantedSettings) -> NativePlan:
    """Return the `podman update` that makes podman remember `wanted`. Raises Unsupported, Unreadable, Gone."""
    refuse_other_host(cgroups, domain)
    refuse_other_knobs(domain, wanted.change, "shares", "weight", "period", "quota")
    entry = podman.of_domain(cgroups, domain)
    if entry is None:
        raise Gone(f"podman has no container {domain.qualified} any more", "list what runs: cputune status")
    if not domain.running and not _is_ours(cgroups, entry):
        raise Unsupported(
            f"--native: {domain.qualified} is stopped, and what podman remembers of it is in its user's database",
            "start it first, or run cputune as that user",
        )
    user = entry.storage.user.uid if entry.storage.user else None
    return plan_update(
        cgroups,
        domain,
        read(cgroups, domain).change or Change(),
        wanted.change,
        lambda change: bandwidth_options(change, _NO_LIMIT),
        lambda words: RunCommand(("podman", "update", *words, entry.id), user),
    )
