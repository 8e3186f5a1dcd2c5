"""Inputs made from others: cut, joined, repeated, with other bytes and numbers, and with other values in JSON."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

ODD = (
    *(b"\x00", b"\xff", b"\n", b"\r", b"=", b'"', b"-1", b"../", b"\xed\xa0\x80"),
    *(b"[" * 50, b"9" * 30, b"9" * 5000, b" " * 100),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 70, 1.5, "", "x", "\ud800", "../..", "9" * 30),
    *([], [5], {}, {"a": {}}),
)
MOST = 1 << 16


def mutated(corpus: Sequence[bytes], generator: random.Random) -> bytes:
    """One input, after one to four changes."""
    data = generator.choice(corpus)
    for _ in range(generator.randint(1, 4)):
        data = generator.choice(CHANGES)(data, corpus, generator)[:MOST]
    return data


def _flip(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    if not data:
        return data
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << generator.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    first, last = sorted((generator.randint(0, len(data)), generator.randint(0, len(data))))
    return data[first:last] if generator.random() < 0.5 else data[:first] + data[last:]


def _join(data: bytes, corpus: Sequence[bytes], generator: random.Random) -> bytes:
    other = generator.choice(corpus)
    return data[: generator.randint(0, len(data))] + other[generator.randint(0, len(other)) :]


def _insert(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    at = generator.randint(0, len(data))
    return data[:at] + generator.choice(ODD) + data[at:]


def _repeat(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    first, last = sorted((generator.randint(0, len(data)), generator.randint(0, len(data))))
    return data[:last] + data[first:last] * generator.randint(1, 20) + data[last:]


def _number(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    found = list(re.finditer(rb"[0-9]+", data))
    if not found:
        return data
    match = generator.choice(found)
    return data[: match.start()] + generator.choice((b"0", b"-1", b"1" * 25, b"99999999999", b"")) + data[match.end() :]


def _value(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    try:
        return json.dumps(_replaced(json.loads(data), generator)).encode()
    except (ValueError, RecursionError):
        return data


def _replaced(value: Any, generator: random.Random) -> Any:
    if isinstance(value, dict) and value and generator.random() < 0.8:
        key = generator.choice(sorted(value))
        return {**value, key: _replaced(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.8:
        at = generator.randrange(len(value))
        return [*value[:at], _replaced(value[at], generator), *value[at + 1 :]]
    return generator.choice(VALUES)


CHANGES = (_flip, _cut, _join, _insert, _repeat, _number, _value, _value)
