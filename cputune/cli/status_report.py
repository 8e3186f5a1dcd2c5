"""What `cputune status` prints: the host, and domains as columns, as details and as JSON data. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cputune.cli.report import cpus_of
from cputune.core.knobs import BANDWIDTH, KNOB, KNOBS
from cputune.core.model import CpuTune

if TYPE_CHECKING:
    from cputune.app.hostinfo import HostInfo
    from cputune.app.observer import Row
    from cputune.app.saved import SavedRow
    from cputune.core.model import Change, Domain


def host_line(host: HostInfo) -> str:
    """Describe the host in one line."""
    support = host.support
    offers = {"CFS bandwidth": support and support.bandwidth}
    offers |= {knob.key: support and knob.key in support.keys for knob in KNOBS if knob.since and knob.key in BANDWIDTH}
    features = (f"{name}: {'unknown' if there is None else 'yes' if there else 'no'}" for name, there in offers.items())
    mount = f"{host.mount}{', read-only' if host.readonly else ''}"
    return f"cgroup {host.layout} (cpu at {mount}), {host.cpus} CPUs, {', '.join(features)}"


def host_data(host: HostInfo) -> dict[str, Any]:
    """Return the host as JSON data."""
    support = host.support
    return {
        "layout": host.layout,
        "cpu_controller": f"v{host.version}",
        "mount": host.mount,
        "read_only": host.readonly,
        "cpus": host.cpus,
        "systemd": host.systemd,
        "cfs_bandwidth": support.bandwidth if support else None,
        **{knob.key: knob.key in support.keys if support else None for knob in KNOBS if knob.since},
    }


def header(*, sampled: bool) -> list[str]:
    """Return the column headings; USE and THROTTLED only if they were sampled."""
    names = ["DOMAIN", "STATE", "SHARES", "WEIGHT", "LIMIT", "EFFECTIVE"]
    return [*names, *(["USE", "THROTTLED"] if sampled else []), "CONFIG", "DRIFT"]


def cells(row: Row, *, sampled: bool) -> list[str]:
    """Return the cells of one domain, under the headings of `header`; "-" stands for nothing."""
    tune = row.tune
    limits = ["-"] * 4
    if tune is not None:
        weight = "idle" if tune.idle else _or_dash(tune.weight)
        limits = [_or_dash(tune.shares), weight, cpus_of(tune), _effective(row)]
    usage = [_use(row), _throttled(row)] if sampled else []
    return [row.domain.qualified, _state(row), *limits, *usage, config_text(row.saved), _drift(row)]


def _state(row: Row) -> str:
    if row.domain.running and row.tune is None:
        return "unreadable"
    if row.domain.details.paused:
        return "paused"
    return "running" if row.domain.running else "stopped"


def _effective(row: Row) -> str:
    if row.effective is None:
        return "-"
    return f"{row.effective:g} by {row.bound_by}" if row.bound_by else f"{row.effective:g}"


def _use(row: Row) -> str:
    used = row.sample.cpus if row.sample else None
    return "-" if used is None else f"{used:.3f}"


def _throttled(row: Row) -> str:
    sample = row.sample
    if sample is None or sample.throttled is None:
        return "-"
    by = f" by {sample.by}" if sample.by and sample.by != row.domain.limit_cgroup else ""
    return f"{sample.throttled:.0%}{by}"


def _drift(row: Row) -> str:
    return f"drift: {'; '.join(row.drift)}" if row.drift else "-"


def config_text(saved: Change) -> str:
    """Return a saved configuration as KEY=VALUE words, "-" if nothing is saved."""
    return " ".join(f"{key}={KNOB[key].format(value)}" for key, value in saved.named().items()) or "-"


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


SAVED_HEADER = ["DOMAIN", "STATE", "CONFIG", "FILE"]


def saved_cells(row: SavedRow) -> list[str]:
    """Return the cells of one saved configuration, under SAVED_HEADER."""
    return [row.name, row.state, config_text(row.saved), row.path]


def saved_data(row: SavedRow) -> dict[str, Any]:
    """Return one saved configuration as JSON data."""
    return {
        "domain": row.name,
        "state": row.state,
        "config": _named(row.saved),
        "file": row.path,
        "problem": row.problem,
    }


def columns(rows: list[list[str]]) -> list[str]:
    """Align cells with spaces, for output to a pipe; nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def details(row: Row) -> list[str]:
    """Return all that is known about one domain, as lines of `name : value`."""
    domain, tune = row.domain, row.tune
    lines: list[tuple[str, object]] = [("domain", domain.qualified), ("state", _state(row))]
    lines.append(("persistent", "yes" if domain.persistent else "no"))
    lines += _facts(domain).items()
    if domain.limit_cgroup:
        lines.append(("cgroup", domain.limit_cgroup))
    if domain.weight_cgroup and domain.weight_cgroup != domain.limit_cgroup:
        lines.append(("weight cgroup", domain.weight_cgroup))
    if tune is not None:
        lines += [(key, KNOB[key].format(value)) for key, value in tune.named().items()]
        lines += [("limit", f"{cpus_of(tune)} CPUs" if tune.limit_cpus else "none"), ("effective", _effective(row))]
    if row.sample:
        lines += [("use", _use(row)), ("throttled", _throttled(row))]
    if row.problem:
        lines.append(("problem", row.problem))
    if row.applied is not None:
        lines.append(("applied", config_text(row.applied)))
    lines += [("config", config_text(row.saved)), ("drift", "; ".join(row.drift) or "none")]
    return [f"{name:<15}: {value}" for name, value in lines]


def _facts(domain: Domain) -> dict[str, str]:
    """The details that are known of a domain, in words."""
    known = zip(domain.details._fields, domain.details, strict=True)
    return {name.replace("_", " "): _fact(value) for name, value in known if value not in (None, False, ())}


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return "yes" if value is True else str(value)


def _named(change: Change) -> dict[str, object]:
    return {KNOB[key].name: KNOB[key].number(value) for key, value in change.named().items()}


def row_data(row: Row) -> dict[str, Any]:
    """Return one domain as JSON data: virsh's names, times in microseconds, -1 for unlimited, null for unknown."""
    tune, sample = row.tune, row.sample
    data: dict[str, Any] = {
        "domain": row.domain.qualified,
        "runtime": row.domain.runtime,
        "name": row.domain.name,
        "running": row.domain.running,
        "persistent": row.domain.persistent,
        "cgroup": row.domain.limit_cgroup,
        "weight_cgroup": row.domain.weight_cgroup,
        "facts": _facts(row.domain),
    }
    for key in CpuTune.KEYS:
        data[KNOB[key].name] = KNOB[key].number(tune[key]) if tune else None
    data |= {
        "limit_cpus": tune.limit_cpus if tune else None,
        "effective_cpus": row.effective,
        "bound_by": row.bound_by,
        "config": _named(row.saved),
        "applied": None if row.applied is None else _named(row.applied),
        "drift": list(row.drift),
        "problem": row.problem,
    }
    if sample:
        data |= {"used_cpus": sample.cpus, "throttled": sample.throttled, "throttled_by": sample.by}
    return data
