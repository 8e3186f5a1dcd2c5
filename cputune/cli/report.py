"""Results as plain lines and as JSON. Pure: nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cputune.core.knobs import BANDWIDTH, KNOB, KNOBS
from cputune.core.model import CpuTune, KnobChange, Scale
from cputune.core.names import printable
from cputune.core.units import in_other_unit

if TYPE_CHECKING:
    from cputune.app.schedinfo import SchedInfo
    from cputune.drift.compare import Difference
    from cputune.planning.plan import Outcome
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


def change_line(change: KnobChange, scale: Scale) -> str:
    """One line for one knob that changed; with a weight also in shares, on the runtime's scale."""
    live = change.where == "live"
    also = in_other_unit(change.key, change.after, scale, change.given) if live else None
    return f"{printable(change.domain)}: {_change_words(change)}{f' ({also})' if also else ''}"


def _change_words(change: KnobChange) -> str:
    knob = KNOB[change.key]
    return f"{change.where}: {change.key} {knob.format(change.before)} -> {knob.format(change.after)}"


def _change_data(change: KnobChange) -> dict[str, object]:
    knob = KNOB[change.key]
    return {
        "where": change.where,
        "name": knob.name,
        "from": knob.number(change.before),
        "to": knob.number(change.after),
    }


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
        "changes": [_change_data(change) for change in outcome.changes],
        "steps": [_step_data(step) for task in outcome.tasks for step in task.steps()],
        "notes": list(outcome.notes),
    }


def past_lines(past: Past, name: str | None) -> list[str]:
    """A transaction of the history: who and when, then a line for each knob (of one domain)."""
    import time

    entry = past.entry
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.when))
    lines = [f"{when} {entry.who}: {entry.command}"]
    for change in entry.changes:
        if name in (None, change.domain):
            mark = past.mark(change.domain)
            lines.append(f"  {change.domain}: {_change_words(change)}{f' ({mark})' if mark else ''}")
    return lines


def past_data(past: Past, name: str | None) -> dict[str, Any]:
    """The same for programs; `when` is seconds since 1970."""
    entry = past.entry
    return {
        "id": entry.id,
        "when": entry.when,
        "who": entry.who,
        "pid": entry.pid,
        "command": entry.command,
        "undoes": entry.undoes or None,
        "changes": [
            {
                "domain": change.domain,
                **_change_data(change),
                "taken_back": change.domain in past.undone,
                "gone": change.domain in past.gone,
            }
            for change in entry.changes
            if name in (None, change.domain)
        ],
    }
