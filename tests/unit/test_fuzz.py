"""A few seconds of what `python -m tests.fuzz` does for as long as one likes."""

from __future__ import annotations

import random

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import inputs
from tests.fuzz.targets import CORPUS, ROWS, Everywhere, Row, findings

TIMES = 150


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_nothing_that_others_write_is_more_than_an_error_of_ours(row: Row) -> None:
    generator, corpus = random.Random(7), inputs(row.name)
    for data in (*corpus, *(mutated(corpus, generator) for _ in range(TIMES))):
        assert findings(row.run, data) is None, data


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("piece", [b"\n", b" ", b"[", b"a=", b'"', b"<cputune>", b" @/a/b/command\n", b"9"])
def test_a_long_text_takes_linear_time(row: Row, piece: bytes) -> None:
    """What is quadratic takes minutes here."""
    assert findings(row.run, piece * (200_000 // len(piece))) is None


def test_every_runtime_and_every_memory_has_a_target() -> None:
    names = {row.name for row in ROWS}
    assert {f"domains-{name}" for name, row in RUNTIMES.items() if row.bare} <= names
    assert {f"remembered-{row.native}" for row in RUNTIMES.values() if row.native} <= names
    assert {path.name for path in CORPUS.iterdir()} <= {*names, "all"}


@pytest.mark.parametrize("runtime", ["docker", "podman", "cri", "oci", "libvirt", "nspawn", "lxc", "incus"])
def test_its_seeds_reach_what_they_are_for(runtime: str) -> None:
    """Of some seed, the runtime makes a domain; without that, little of it would be tried."""
    texts = [data.decode("utf-8", "surrogateescape") for data in inputs(f"domains-{runtime}")]
    assert any(list(lookup.domains(Cgroups(Everywhere(text)), (runtime,))) for text in texts)


def test_what_is_not_foreseen_is_found() -> None:
    def careless(data: bytes) -> None:
        int(data)

    assert findings(careless, b"x") == "ValueError: invalid literal for int() with base 10: b'x'"
