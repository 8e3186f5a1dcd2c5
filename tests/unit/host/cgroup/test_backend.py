"""The tables of kernel files: what is in them, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.knobs import BANDWIDTH, IN_KERNEL, KNOB, UNLIMITED
from cputune.core.model import CpuTune
from cputune.host.cgroup.backend import Backend, KnobFile
from cputune.host.cgroup.bandwidth import Band
from cputune.host.cgroup.v1 import V1
from cputune.host.cgroup.v2 import V2
from tests.support.fakekernel import FakeKernel, Kernel, MoreFile

each_version = pytest.mark.parametrize("backend", [V1, V2], ids=["v1", "v2"])
STATE = CpuTune(shares=512, weight=50, period=50000, quota=25000, burst=1000, idle=False)


@each_version
def test_a_new_cgroup_has_what_the_rows_say(backend: Backend, tmp_path: Path) -> None:
    host = FakeKernel(tmp_path, Kernel(backend.version))
    host.mkdir(f"{host.mount}/new")
    state = backend.read(host, f"{host.mount}/new")
    assert {"period", "quota", "burst", "idle", backend.weight_key} <= set(state.named())
    for key, value in state.named().items():
        assert value == KNOB[key].default
    assert backend.default().only(state.named()) == state
    assert backend.default_weight == KNOB[backend.weight_key].default


@each_version
def test_each_knob_of_the_kernel_is_in_one_file_at_most(backend: Backend) -> None:
    assert len(set(backend.keys)) == len(backend.keys)
    assert set(backend.keys) <= set(IN_KERNEL)
    for file in backend.files:
        state = backend.default().replace(**STATE.only(backend.keys).named()).only(file.keys)
        assert dict(zip(file.keys, file.decode(file.text(state)), strict=True)) == state.named()
        assert file.name in backend.names


@each_version
def test_no_limit_is_read_as_it_is_written(backend: Backend) -> None:
    free = STATE.replace(quota=UNLIMITED)
    file = backend.file("quota")
    assert file
    assert dict(zip(file.keys, file.decode(file.text(free)), strict=True)) == free.only(file.keys).named()


def test_the_file_of_a_knob_is_that_of_its_other_unit() -> None:
    names = {(backend.version, key): file.name for backend in (V1, V2) for key in ("shares", "weight", "period")
             if (file := backend.file(key))}  # fmt: skip
    assert names == {
        (1, "shares"): "cpu.shares", (1, "weight"): "cpu.shares", (1, "period"): "cpu.cfs_period_us",
        (2, "shares"): "cpu.weight", (2, "weight"): "cpu.weight", (2, "period"): "cpu.max",
    }  # fmt: skip
    assert V2.file("cpus") is None
    assert "cpu.weight.nice" in V2.names


def test_one_write_changes_quota_and_period_together_on_version_2_alone() -> None:
    assert V1.moves == (("quota",), ("period",), ("burst",))
    assert V2.moves == (("quota", "period"), ("burst",))
    for backend in (V1, V2):
        assert not [file for file in backend.others if file.has(BANDWIDTH)]


def test_the_write_between_two_states_of_the_bandwidth() -> None:
    old, new = Band(UNLIMITED, 100000, 0), Band(UNLIMITED, 50000, 0)
    assert V1.band_write("/g", old, new) == ("/g/cpu.cfs_period_us", "50000", "100000")
    assert V2.band_write("/g", old, new) == ("/g/cpu.max", "max 50000", "max 100000")
    assert V2.band_write("/g", old, old._replace(burst=5)) == ("/g/cpu.max.burst", "5", "0")


def test_what_the_files_say_in_a_state() -> None:
    assert V1.texts(STATE) == {
        "cpu.shares": "512", "cpu.cfs_quota_us": "25000", "cpu.cfs_period_us": "50000", "cpu.cfs_burst_us": "1000",
        "cpu.idle": "0",
    }  # fmt: skip
    assert V2.texts(STATE.replace(idle=True)) == {"cpu.max": "25000 50000", "cpu.max.burst": "1000", "cpu.idle": "1"}
    assert V2.texts(CpuTune(weight=50)) == {"cpu.weight": "50"}


def test_only_the_files_of_some_knobs_are_read(tmp_path: Path) -> None:
    host = FakeKernel(tmp_path, Kernel(2))
    host.mkdir(f"{host.mount}/new")
    before = host.attempts["read"]
    assert V2.read(host, f"{host.mount}/new", ("quota",)) == CpuTune(quota=UNLIMITED, period=100000)
    assert host.attempts["read"] == before + 1


@pytest.mark.parametrize(
    ("key", "text", "value", "written"),
    [
        ("burst", "5000\n", 5000, "5000"), ("cpus", "20.00\n", 20_000_000, "20"),
        ("cpus", "33.33\n", 33_330_000, "33.33"),
        ("cpus", "max\n", UNLIMITED, "max"), ("idle", "1\n", True, "1"), ("idle", "0\n", False, "0"),
        ("burst", "odd\n", None, "unset"),
    ],
)  # fmt: skip
def test_a_file_that_only_has_a_name_is_read_and_written_as_the_row_does(
    key: str, text: str, value: object, written: str
) -> None:
    class Values:
        def __getitem__(self, key: str) -> object:
            return value

    file = KnobFile("cpu.new", key)
    assert file.decode(text) == (value,)
    assert file.text(Values()) == written  # type: ignore[arg-type]


def test_the_fake_kernel_has_files_that_it_knows_no_rule_for(tmp_path: Path) -> None:
    host = FakeKernel(tmp_path, Kernel(2, more=(MoreFile("cpu.more", "max", lambda text: f"{float(text):.2f}"),)))
    host.mkdir(f"{host.mount}/new")
    assert host.read(f"{host.mount}/new/cpu.more") == "max\n"
    host.write(f"{host.mount}/new/cpu.more", "20\n")
    assert host.read(f"{host.mount}/new/cpu.more") == "20.00\n"
