"""What hypothesis draws from: the values of every knob, by the table."""

from __future__ import annotations

from hypothesis import strategies as st

from cputune.core.knobs import KNOB, KNOBS, UNLIMITED, Flag, Knob, Value
from cputune.core.model import Change


def values_of(knob: Knob) -> st.SearchStrategy[Value]:
    """All values of a knob that are in its range, the ends more often than chance has it."""
    if isinstance(knob.kind, Flag):
        return st.booleans()
    special: list[Value] = [knob.kind.least, knob.kind.most, *([UNLIMITED] if knob.kind.can_be(UNLIMITED) else [])]
    return st.one_of(st.sampled_from(special), st.integers(knob.kind.least, knob.kind.most))


def _one_unit_each(values: dict[str, Value]) -> Change:
    change = Change()
    for key, value in values.items():
        if KNOB[key].alternative not in change.named():
            change = change.replace(**{key: value})
    return change


changes: st.SearchStrategy[Change] = st.fixed_dictionaries(
    {}, optional={knob.key: values_of(knob) for knob in KNOBS}
).map(_one_unit_each)
"""Changes of any knobs, with at most one of two units of one thing."""
