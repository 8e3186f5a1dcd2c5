"""What somebody else may have written: any text and any value, in any file; and what cputune has to make of it."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cputune.transaction.checksum import sealed
from tests.support.commandline import Ended

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


one_host = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


texts = st.text(max_size=30) | st.sampled_from(["\x1b[31mred", "a\0b", "a\nb", "../..", "\udcff", "\ud800", "-x", "💥"])


scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def explained(ended: Ended) -> Ended:
    """A command line that ended as the manual has it."""
    assert 0 <= ended.status <= 8, ended
    assert not CONTROL.search(ended.out + ended.err), ended
    assert "error: unexpected " not in ended.err, ended.err
    assert "Traceback" not in ended.err, ended.err
    return ended


def damaged(text: bytes, data: st.DataObject) -> bytes:
    """The same file, half-written, with other bytes in it, or with other values where it is JSON."""
    kind = data.draw(st.sampled_from(["cut", "bytes", "other", "json", "json"]))
    if kind == "cut":
        return text[: data.draw(st.integers(0, len(text)))]
    if kind == "bytes":
        at = data.draw(st.integers(0, len(text)))
        return text[:at] + data.draw(st.binary(max_size=8)) + text[at + data.draw(st.integers(0, 8)) :]
    if kind == "other":
        return data.draw(st.binary(max_size=200))
    try:
        document = json.loads(text)
    except ValueError:
        lines = text.split(b"\n")
        lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(texts).encode(errors="surrogatepass")
        return b"\n".join(lines)
    return json.dumps(_replaced(document, data)).encode()


def resealed(data: bytes) -> bytes:
    """A damaged file of cputune's own with the checksum of what it has become, so that what is in it is looked at."""
    return sealed(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _replaced(value: Any, data: st.DataObject) -> Any:
    """The document with one value in it exchanged."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _replaced(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(value[at], data), *value[at + 1 :]]
    return data.draw(values)
