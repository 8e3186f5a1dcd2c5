"""Results as plain lines and as JSON. Pure: nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cputune.core.knobs import BANDWIDTH, KNOB, KNOBS
from cputune.core.model import CpuTune, Domain
from cputune.core.names import printable
from cputune.core.units import in_other_unit

if TYPE_CHECKING:
    from cputune.app.schedinfo import SchedInfo
    from cputune.drift.compare import Difference
    from cputune.planning.plan import Moved, Outcome
    from cputune.transaction.history import Past
    from cputune.transaction.tasks import Step, Task


def to_json(data: object) -> str:
    """One JSON document, its keys in the order they were made."""
    import json

    return json.dumps(data, indent=2, ensure_ascii=True)


def difference_data(domain: str, difference: Difference) -> dict[str, Any]:
    """A difference for programs: virsh's names, microseconds; null is not named."""
    knob = KNOB.get(difference.key)
    values = {"config": difference.saved, "applied": difference.applied, "live": difference.live}
    return {
        "domain": domain,
        "parameter": knob.name if knob else difference.key,
        **{name: knob.number(value) if knob else None for name, value in values.items()},
        "cause": difference.cause,
        "drift": difference.drift,
    }


def schedinfo_values(info: SchedInfo, *, everything: bool) -> dict[str, object]:
    """Names and numbers of schedinfo, in virsh's order; a config's missing values are virsh's zeros."""
    shown = [knob for knob in KNOBS if knob.virsh and (info.bandwidth or knob.key not in BANDWIDTH)]
    of_virsh, others = ([knob for knob in shown if knob.in_virsh is yes] for yes in (True, False))
    values = {knob.virsh: knob.number(info.tune[knob.key]) for knob in (*of_virsh, *(others if everything else ()))}
    if info.source == "config":
        return {name: 0 if value is None else value for name, value in values.items()}
    return {name: value for name, value in values.items() if value is not None}


def schedinfo(info: SchedInfo, *, everything: bool) -> str:
    """`virsh schedinfo`'s own layout, its empty last line included."""
    values = {"Scheduler": "posix", **schedinfo_values(info, everything=everything)}
    lines = [f"{name:<15}: {int(value) if isinstance(value, bool) else value}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def schedinfo_data(info: SchedInfo, *, everything: bool) -> dict[str, object]:
    """The same for programs."""
    values = schedinfo_values(info, everything=everything)
    return {
        "domain": info.domain.qualified,
        "source": info.source,
        "scheduler": "posix",
        "parameters": len(values),
        **values,
    }


def moved(domain: Domain, change: Moved) -> str:
    """One line for one knob that changed."""
    knob = KNOB[change.key]
    line = f"{change.source}: {change.key} {knob.format(change.before)} -> {knob.format(change.after)}"
    live = change.source == "live"
    also = in_other_unit(change.key, change.after, domain.scale, change.given) if live else None
    return f"{printable(domain.qualified)}: {line}{f' ({also})' if also else ''}"


def cpus_of(tune: CpuTune) -> str:
    """The limit in CPUs, for people."""
    return "-" if tune.limit_cpus is None else f"{tune.limit_cpus:g}"


def step_lines(task: Task) -> list[str]:
    """What a task will do, a line a step, in order."""
    return [_step_line(step) for step in task.steps()]


def _step_line(step: Step) -> str:
    if step.do == "hold":
        return f"hold {step.where} at {step.after}"
    return f"{step.do} {step.where}: {step.before} -> {step.after}" if step.before else f"{step.do} {step.where}"


def _step_data(step: Step) -> dict[str, str]:
    return {"do": step.do, "where": step.where, "from": step.before, "to": step.after}


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """A change for programs."""
    return {
        "domain": outcome.domain.qualified,
        "changes": [
            {
                "where": change.source,
                "name": KNOB[change.key].name,
                "from": KNOB[change.key].number(change.before),
                "to": KNOB[change.key].number(change.after),
            }
            for change in outcome.moved
        ],
        "steps": [_step_data(step) for task in outcome.tasks for step in task.steps()],
        "notes": list(outcome.notes),
    }


def past(one: Past, name: str | None) -> list[str]:
    """A transaction of the history: who and when, then a line for each knob (of one domain)."""
    import time

    entry = one.entry
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.when))
    lines = [f"{when} {entry.who}: {entry.command}"]
    for step in entry.steps:
        if name in (None, step.domain):
            mark = one.mark(step.domain)
            knob = KNOB[step.key]
            change = f"{step.key} {knob.format(step.before)} -> {knob.format(step.after)}"
            lines.append(f"  {step.domain}: {step.where}: {change}{f' ({mark})' if mark else ''}")
    return lines


def past_data(one: Past, name: str | None) -> dict[str, Any]:
    """The same for programs; `when` is seconds since 1970."""
    entry = one.entry
    return {
        "id": entry.id,
        "when": entry.when,
        "who": entry.who,
        "pid": entry.pid,
        "command": entry.command,
        "undoes": entry.undoes or None,
        "changes": [
            {
                "domain": step.domain,
                "where": step.where,
                "name": KNOB[step.key].name,
                "from": KNOB[step.key].number(step.before),
                "to": KNOB[step.key].number(step.after),
                "taken_back": step.domain in one.undone,
                "gone": step.domain in one.gone,
            }
            for step in entry.steps
            if name in (None, step.domain)
        ],
    }
