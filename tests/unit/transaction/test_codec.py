"""Tasks as JSON and back: values of knobs strictly by their rows."""

from __future__ import annotations

import json

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change, CpuTune, Details, Domain, Scale
from cputune.transaction.cgroup_task import CgroupTask
from cputune.transaction.codec import Undecodable, decode, dump, encode, load

NOW = CpuTune(weight=0, period=100000, quota=UNLIMITED, burst=0, idle=True)


def test_a_task_comes_back_as_it_was() -> None:
    task = CgroupTask("lxc:web", "/web", NOW, NOW.replace(weight=100, idle=False, quota=50000))
    name, value = json.loads(json.dumps(dump(task)))
    assert load(name, value) == task


def test_what_has_no_value_is_left_out() -> None:
    assert encode(Change(quota=UNLIMITED, idle=False)) == {"quota": "unlimited", "idle": False}


@pytest.mark.parametrize(
    "value",
    [
        {"quotas": 5000}, {"quota": "5000"}, {"quota": "max"}, {"quota": True}, {"quota": 5e3}, {"quota": None},
        {"period": "unlimited"}, {"shares": False}, {"idle": 1}, {"idle": "true"}, {"burst": [0]}, ["quota"], "quota",
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(Undecodable):
        decode(Change, value)


DETAILS = Details(id="a" * 64, pid=441, paused=True, threads_also_in=("/a", "/b"))
WEB = Domain("docker", "web", True, True, "/web", "/web", Scale.OCI, DETAILS)


def test_a_domain_comes_back_with_its_details() -> None:
    assert decode(Domain, json.loads(json.dumps(encode(WEB)))) == WEB
    assert "details" not in encode(WEB._replace(details=Details()))


@pytest.mark.parametrize(
    "details",
    [
        {"pid": "441"},
        {"pid": True},
        {"paused": 1},
        {"threads_also_in": "/a"},
        {"facts": "x"},
        {"id": 5},
        [["pid", 441]],
    ],
)
def test_other_details_are_refused(details: object) -> None:
    with pytest.raises(Undecodable):
        decode(Domain, {**encode(WEB), "details": details})
