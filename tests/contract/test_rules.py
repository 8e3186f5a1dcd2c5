"""What the kernel takes, refuses and makes of it: asked of the files themselves, without cputune."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager, nullcontext

import pytest

from tests.support.lab import Lab

MAX = (1 << 44) - 1
V1, V2 = pytest.mark.cgroup(1), pytest.mark.cgroup(2)


class Refuses(AbstractContextManager[None]):
    """The kernel says no, with this errno and no other."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        assert isinstance(error, OSError), "the kernel took it"
        assert errno.errorcode[error.errno or 0] == errno.errorcode[self.number]
        return True


def writing(result: str | int) -> AbstractContextManager[None]:
    return Refuses(result) if isinstance(result, int) else nullcontext()


# --- a new cgroup -----------------------------------------------------------------------------------------------------


@V1
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cpu.shares", "1024"),
        ("cpu.cfs_quota_us", "-1"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_burst_us", "0"),
        ("cpu.idle", "0"),
    ],
)
def test_new_v1_group_has(lab: Lab, file: str, text: str) -> None:
    assert lab.read(file) == text


@V2
@pytest.mark.parametrize(
    ("file", "text"), [("cpu.weight", "100"), ("cpu.max", "max 100000"), ("cpu.max.burst", "0"), ("cpu.idle", "0")]
)
def test_new_v2_group_has(lab: Lab, file: str, text: str) -> None:
    assert lab.read(file) == text


# --- numbers ----------------------------------------------------------------------------------------------------------

SHARES: list[tuple[str, str | int]] = [
    ("2", "2"),
    ("512", "512"),
    ("262144", "262144"),
    ("262145", "262144"),
    ("1000000000", "262144"),
    ("18446744073709551615", "262144"),
    ("18446744073709551616", errno.ERANGE),
    ("1", "2"),
    ("0", "2"),
    ("-1", errno.EINVAL),
    ("x", errno.EINVAL),
    ("5abc", errno.EINVAL),
    ("5 5", errno.EINVAL),
    (" 5", errno.EINVAL),
    ("\n", errno.EINVAL),
    ("5\n", "5"),
    ("+7", "7"),
    ("0x100", "256"),
    ("0512", "330"),
    ("08", errno.EINVAL),
]


@V1
@pytest.mark.parametrize(("text", "result"), SHARES)
def test_v1_shares_are_clamped(lab: Lab, text: str, result: str | int) -> None:
    with writing(result):
        lab.write("cpu.shares", text)
    assert lab.read("cpu.shares") == (result if isinstance(result, str) else "1024")


WEIGHT: list[tuple[str, str | int]] = [
    ("1", "1"),
    ("10000", "10000"),
    ("0x10", "16"),
    ("0", errno.ERANGE),
    ("10001", errno.ERANGE),
    ("99999999999999999999", errno.ERANGE),
    ("-1", errno.EINVAL),
    ("x", errno.EINVAL),
    (" 9 ", errno.EINVAL),
]


@V2
@pytest.mark.parametrize(("text", "result"), WEIGHT)
def test_v2_weight_has_a_range(lab: Lab, text: str, result: str | int) -> None:
    with writing(result):
        lab.write("cpu.weight", text)
    assert lab.read("cpu.weight") == (result if isinstance(result, str) else "100")


@V2
def test_v2_every_weight_reads_back_as_it_was_written(lab: Lab) -> None:
    for weight in (*range(1, 120), *range(120, 10001, 97), 10000):
        lab.write("cpu.weight", str(weight))
        assert lab.read("cpu.weight") == str(weight)


QUOTA: list[tuple[str, str | int]] = [
    ("1000", "1000"),
    (str(MAX), str(MAX)),
    ("-1", "-1"),
    ("-5000", "-1"),
    ("999", errno.EINVAL),
    ("1", errno.EINVAL),
    ("0", errno.EINVAL),
    (str(MAX + 1), errno.EINVAL),
    ("18446744073709551", errno.EINVAL),
    ("9223372036854775807", errno.EINVAL),
    ("9223372036854775808", errno.ERANGE),
    ("5000abc", errno.EINVAL),
    ("max", errno.EINVAL),
]


@V1
@pytest.mark.parametrize(("text", "result"), QUOTA)
def test_v1_quota_has_a_range(lab: Lab, text: str, result: str | int) -> None:
    lab.write("cpu.cfs_quota_us", "70000")
    with writing(result):
        lab.write("cpu.cfs_quota_us", text)
    assert lab.read("cpu.cfs_quota_us") == (result if isinstance(result, str) else "70000")


PERIOD: list[tuple[str, str | int]] = [
    ("1000", "1000"),
    ("1000000", "1000000"),
    ("999", errno.EINVAL),
    ("1000001", errno.EINVAL),
    ("0", errno.EINVAL),
    ("-1", errno.EINVAL),
]


@V1
@pytest.mark.parametrize(("text", "result"), PERIOD)
def test_v1_period_has_a_range(lab: Lab, text: str, result: str | int) -> None:
    with writing(result):
        lab.write("cpu.cfs_period_us", text)
    assert lab.read("cpu.cfs_period_us") == (result if isinstance(result, str) else "100000")


CPU_MAX: list[tuple[str, str | int]] = [
    ("50000", "50000 80000"),
    ("50000 20000", "50000 20000"),
    ("50000\t20000", "50000 20000"),
    ("max", "max 80000"),
    ("max 20000", "max 20000"),
    ("  max   20000  ", "max 20000"),
    ("1000", "1000 80000"),
    (str(MAX), f"{MAX} 80000"),
    # What sscanf makes of it: the first word's leading digits, then digits.
    ("5000abc", "5000 80000"),
    ("5000-", "5000 80000"),
    ("05000", "5000 80000"),
    ("5000 x", "5000 80000"),
    ("5000 -5", "5000 80000"),
    ("5000 20000abc", "5000 20000"),
    ("5000 20000 7", "5000 20000"),
    ("999", errno.EINVAL),
    ("0", errno.EINVAL),
    (str(MAX + 1), errno.EINVAL),
    ("50000 999", errno.EINVAL),
    ("50000 1000001", errno.EINVAL),
    ("50000 0", errno.EINVAL),
    ("-1", errno.EINVAL),
    ("+5000", errno.EINVAL),
    ("0x5000", errno.EINVAL),
    ("max20000", errno.EINVAL),
    ("max,20000", errno.EINVAL),
    ("\n", errno.EINVAL),
]


@V2
@pytest.mark.parametrize(("text", "result"), CPU_MAX)
def test_v2_cpu_max_is_parsed_without_care(lab: Lab, text: str, result: str | int) -> None:
    lab.write("cpu.max", "60000 80000")
    with writing(result):
        lab.write("cpu.max", text)
    assert lab.read("cpu.max") == (result if isinstance(result, str) else "60000 80000")


# --- burst ------------------------------------------------------------------------------------------------------------

# quota (None: unlimited), the burst that is written, what comes of it
BURST: list[tuple[int | None, str, str | int]] = [
    (50000, "0", "0"),
    (50000, "50000", "50000"),
    (50000, "50001", errno.EINVAL),
    (50000, "-1", errno.EINVAL),
    (MAX, "1", errno.EINVAL),
    (MAX - 1000, "1000", "1000"),
    (MAX - 1000, "1001", errno.EINVAL),
    (None, "50001", "50001"),
    (None, "18446744073709551", "18446744073709551"),
    (None, "18446744073709552", errno.EINVAL),
]


@pytest.mark.parametrize(("quota", "text", "result"), BURST)
def test_burst_is_at_most_the_quota_and_free_without_one(
    lab: Lab, quota: int | None, text: str, result: str | int
) -> None:
    lab.put(quota=quota)
    with writing(result):
        lab.write("burst", text)
    assert lab.read("burst") == (result if isinstance(result, str) else "0")


@V1
def test_v1_quota_cannot_go_below_the_burst(lab: Lab) -> None:
    lab.put(quota=50000, burst=20000)
    lab.write("quota", "20000")
    with Refuses(errno.EINVAL):
        lab.write("quota", "19999")
    assert (lab.read("quota"), lab.read("burst")) == ("20000", "20000")


@V2
def test_v2_quota_cannot_go_below_the_burst_unless_that_was_divided(lab: Lab) -> None:
    lab.put(quota=50000, burst=20000)
    lab.write("cpu.max", "50000 100000")
    burst = int(lab.read("burst") or -1)
    assert burst in (20000, 20)  # 20: Linux before 6.10 and its stable branches
    with writing(errno.EINVAL if burst == 20000 else ""):
        lab.write("cpu.max", "19999")


@V1
def test_v1_lifting_the_quota_keeps_the_burst(lab: Lab) -> None:
    lab.put(quota=50000, burst=40000)
    lab.write("quota", "-1")
    assert lab.read("burst") == "40000"
    with Refuses(errno.EINVAL):
        lab.write("quota", "39999")
    lab.write("quota", "40000")


@V2
def test_v2_lifting_the_quota_keeps_the_burst_unless_that_was_divided(lab: Lab) -> None:
    lab.put(quota=50000, burst=40000)
    lab.write("cpu.max", "max")
    assert lab.read("burst") in ("40000", "40")


# --- idle -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["2", "-1", "x", ""])
def test_idle_is_0_or_1(lab: Lab, text: str) -> None:
    with Refuses(errno.EINVAL) if text else nullcontext():
        lab.write("idle", text)
    assert lab.read("idle") == "0"


def test_idle_loses_the_weight_and_refuses_another(lab: Lab) -> None:
    lab.write("weight", "200")
    lab.write("idle", "1")
    assert lab.read("weight") in {1: ("3",), 2: ("1", "0")}[lab.version]
    with Refuses(errno.EINVAL):
        lab.write("weight", "200")
    lab.write("idle", "1")
    lab.write("idle", "0")
    assert lab.read("weight") == {1: "1024", 2: "100"}[lab.version]


@V2
def test_idle_v2_checks_the_range_of_a_weight_first(lab: Lab) -> None:
    lab.write("idle", "1")
    with Refuses(errno.ERANGE):
        lab.write("weight", "0")


def test_idle_does_not_stand_in_the_way_of_a_limit(lab: Lab) -> None:
    lab.write("idle", "1")
    lab.write("quota", "50000")
    assert (lab.read("quota") or "").split()[0] == "50000"


# --- the hierarchy ----------------------------------------------------------------------------------------------------

# quota and period of the parent, those of the child, and whether v1 takes the child's
CHILD = [
    ((50000, 100000), (50000, 100000), True),
    ((50000, 100000), (50001, 100000), False),
    ((50000, 100000), (None, 100000), True),
    ((5000, 10000), (50000, 100000), True),
    ((5000, 10000), (50001, 100000), False),
    ((500000, 1000000), (50001, 100000), False),
    ((None, 100000), (MAX, 100000), True),
    ((1000, 1000000), (1000, 900000), False),
    # Ratios are compared with 20 binary digits, rounded down: 10000/30000 is 349525.33, 333333/999998 is 349525.68.
    ((10000, 30000), (333333, 999998), True),
    ((10000, 30000), (333333, 999997), False),
    ((10000, 30000), (333334, 999998), False),
    ((50000, 100000), (500000, 999999), True),  # 524288 exactly, and 524288.52
    ((50000, 100000), (500000, 999997), False),
]


@V1
@pytest.mark.parametrize(("parent", "child", "taken"), CHILD)
def test_v1_child_may_not_exceed_its_parent(
    lab: Lab, parent: tuple[int | None, int], child: tuple[int | None, int], taken: bool
) -> None:
    lab.put(quota=parent[0], period=parent[1])
    lab.make("child", period=child[1])
    with writing("" if taken else errno.EINVAL):
        lab.write("quota", lab.words(child[0]), "child")
    assert lab.read("quota", "child") == (lab.words(child[0]) if taken else "-1")


@V1
def test_v1_parent_may_not_go_below_its_child(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("child", quota=30000)
    lab.write("quota", "30000")
    with Refuses(errno.EINVAL):
        lab.write("quota", "29999")
    with Refuses(errno.EINVAL):
        lab.write("period", "100001")
    assert (lab.read("quota"), lab.read("period")) == ("30000", "100000")


@V1
def test_v1_group_without_limit_passes_its_parents_on(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("between/child")
    with Refuses(errno.EINVAL):
        lab.write("quota", "50001", "between/child")
    lab.write("quota", "50000", "between/child")
    with Refuses(errno.EINVAL):
        lab.write("quota", "49999")
    with Refuses(errno.EINVAL):
        lab.write("quota", "49999", "between")


@V1
def test_v1_period_must_come_after_the_quota_where_it_shrinks(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("child", quota=50000)
    with Refuses(errno.EINVAL):
        lab.write("period", "10000", "child")
    lab.write("quota", "5000", "child")
    lab.write("period", "10000", "child")
    assert (lab.read("quota", "child"), lab.read("period", "child")) == ("5000", "10000")


@V2
def test_v2_child_may_exceed_its_parent(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("child")
    lab.write("cpu.max", "90000", "child")
    lab.write("cpu.max", "10000")
    assert (lab.read("cpu.max"), lab.read("cpu.max", "child")) == ("10000 100000", "90000 100000")


# --- the root ---------------------------------------------------------------------------------------------------------


@V1
@pytest.mark.parametrize(
    "file", ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"]
)
def test_v1_root_has_the_files_and_refuses_to_write_them(lab: Lab, file: str) -> None:
    path = f"{lab.cgroups.hierarchy.mount}/{file}"
    with Refuses(errno.EINVAL):
        lab.host.write(path, lab.host.read(path).strip())


@V2
def test_v2_root_has_no_limits(lab: Lab) -> None:
    found = {name for name in lab.host.names(lab.cgroups.hierarchy.mount) if name.startswith("cpu.")}
    assert found - {"cpu.stat.local"} == {"cpu.stat"}  # 6.12 has both, 6.1 has one


# --- the controller, processes, removal -------------------------------------------------------------------------------


@V2
def test_v2_child_has_limits_only_where_its_parent_gives_the_controller(lab: Lab) -> None:
    lab.host.mkdir(f"{lab.directory()}/child")
    assert [lab.read(file, "child") for file in ("cpu.max", "cpu.weight")] == [None, None]
    assert "usage_usec" in (lab.read("cpu.stat", "child") or "")
    with Refuses(errno.ENOENT):
        lab.write("cgroup.subtree_control", "+cpu", "child")
    lab.write("cgroup.subtree_control", "+cpu")
    lab.write("cpu.max", "50000", "child")
    lab.write("cgroup.subtree_control", "+cpu", "child")
    with Refuses(errno.EBUSY):
        lab.write("cgroup.subtree_control", "-cpu")
    lab.write("cgroup.subtree_control", "-cpu", "child")
    lab.write("cgroup.subtree_control", "-cpu")
    assert lab.read("cpu.max", "child") is None
    lab.write("cgroup.subtree_control", "+cpu")
    assert lab.read("cpu.max", "child") == "max 100000"


@V2
@pytest.mark.parametrize("text", ["cpu", "+nosuch"])
def test_v2_subtree_control_takes_signed_names(lab: Lab, text: str) -> None:
    with Refuses(errno.EINVAL):
        lab.write("cgroup.subtree_control", text)


@V2
def test_v2_controller_cpu_can_be_given_where_there_are_processes(lab: Lab) -> None:
    lab.spawn()
    lab.write("cgroup.subtree_control", "+cpu")
    assert lab.read("cgroup.subtree_control") == "cpu"


def test_process_is_where_it_was_put(lab: Lab) -> None:
    pid = lab.spawn()
    assert lab.read("cgroup.procs") == str(pid)
    assert lab.cgroups.of_pid(pid) == lab.path()


@pytest.mark.parametrize(("text", "number"), [("x", errno.EINVAL), ("999999999", errno.ESRCH)])
def test_procs_takes_processes_that_are_there(lab: Lab, text: str, number: int) -> None:
    with Refuses(number):
        lab.write("cgroup.procs", text)


def test_group_with_a_process_or_a_child_stays(lab: Lab) -> None:
    lab.make("child")
    with Refuses(errno.EBUSY):
        lab.host.rmdir(lab.directory())
    lab.remove("child")
    lab.spawn()
    with Refuses(errno.EBUSY):
        lab.host.rmdir(lab.directory())


def test_removed_group_is_gone_with_its_files(lab: Lab) -> None:
    lab.make("child")
    lab.remove("child")
    assert not os.path.exists(lab.host.real(lab.directory("child")))
    with Refuses(errno.ENOENT):
        lab.write("quota", "50000", "child")


def test_group_cannot_be_made_twice_nor_without_its_parent(lab: Lab) -> None:
    with Refuses(errno.EEXIST):
        lab.host.mkdir(lab.directory())
    with Refuses(errno.ENOENT):
        lab.host.mkdir(lab.directory("no/child"))


def test_file_that_the_kernel_has_not_got_is_enoent_not_eacces(lab: Lab) -> None:
    with Refuses(errno.ENOENT):
        lab.write("cpu.no_such_knob", "1")


def test_counters_cannot_be_written(lab: Lab) -> None:
    with Refuses(errno.EINVAL):
        lab.write("cpu.stat", "1")


def test_group_made_anew_is_another_one_with_defaults(lab: Lab) -> None:
    lab.make("child", quota=50000)
    old = lab.host.inode(lab.directory("child"))
    lab.remove("child")
    lab.make("other")
    lab.make("child")
    assert lab.host.inode(lab.directory("child")) != old
    assert lab.read("quota", "child") == {1: "-1", 2: "max 100000"}[lab.version]
