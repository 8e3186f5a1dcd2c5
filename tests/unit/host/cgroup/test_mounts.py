"""mountinfo and /proc/PID/cgroup: what they say, and that no path leads out of the mount."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cputune.core.errors import Unsupported
from cputune.host.cgroup.mounts import Hierarchy, Mount, detect, find, parse_mountinfo, parse_proc_cgroup, unescape
from tests.support.hosts import Scratch

V2 = "30 22 0:27 / /sys/fs/cgroup rw,nosuid shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate"


def mount(line: str) -> Mount:
    (found,) = parse_mountinfo(line)
    return found


def v1(point: str, *options: str, root: str = "/") -> Mount:
    return Mount(root, point, "cgroup", frozenset(("rw", *options)), False)


def v2(point: str, root: str = "/") -> Mount:
    return Mount(root, point, "cgroup2", frozenset(("rw",)), False)


def test_a_line_of_mountinfo() -> None:
    assert mount(V2) == Mount("/", "/sys/fs/cgroup", "cgroup2", frozenset(("rw", "nsdelegate")), False)


@pytest.mark.parametrize("optional", ["", "shared:9 ", "shared:9 master:2 propagate_from:3 unbindable "])
def test_any_number_of_optional_fields(optional: str) -> None:
    assert mount(f"30 22 0:27 / /sys/fs/cgroup rw {optional}- cgroup2 cgroup2 rw").point == "/sys/fs/cgroup"


def test_escapes_in_paths() -> None:
    line = r"30 22 0:27 /a\134x2db /my\040cgroups/a\011b\012c rw - cgroup none rw,cpu"
    assert mount(line)[:2] == ("/a\\x2db", "/my cgroups/a\tb\nc")
    assert unescape(r"\134040") == r"\040"


def test_a_device_called_like_the_separator() -> None:
    assert mount("30 22 0:27 / /c rw - cgroup2 - rw").options == {"rw"}


@pytest.mark.parametrize("where", ["rw,nosuid - cgroup2 cgroup2 ro", "ro,nosuid - cgroup2 cgroup2 rw"])
def test_read_only_mounts_are_known(where: str) -> None:
    assert mount(f"30 22 0:27 / /sys/fs/cgroup {where}").readonly
    assert not mount(V2).readonly


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "30 22 0:27 / /tmp rw - tmpfs tmpfs rw", "30 22 - cgroup2 cgroup2 rw", "30 22 0:27 / /c rw"],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert parse_mountinfo(f"{line}\n{V2}\n") == [mount(V2)]


@given(st.text())
def test_any_text_is_a_mountinfo_without_errors(text: str) -> None:
    assert all(found.fstype in ("cgroup", "cgroup2") for found in parse_mountinfo(f"{text}\n{V2}"))


HYBRID = "8:cpu,cpuacct:/v1/path\n3:cpuset:/other\n1:name=systemd:/unit\n0::/v2/path\n"


def test_each_version_has_its_own_line() -> None:
    assert parse_proc_cgroup(HYBRID, 1) == "/v1/path"
    assert parse_proc_cgroup(HYBRID, 2) == "/v2/path"


@pytest.mark.parametrize(
    ("text", "version"),
    [("", 1), ("", 2), ("0::/x\n", 1), ("8:cpu:/x\n", 2), ("3:cpuset:/x\n2:cpuacct:/x\n", 1), ("1:name=cpu:/x\n", 1)],
)
def test_no_line_for_the_cpu_controller(text: str, version: int) -> None:
    assert parse_proc_cgroup(text, version) is None


def test_a_path_with_colons_and_a_group_that_is_gone() -> None:
    assert parse_proc_cgroup("0::/a:b:c\n", 2) == "/a:b:c"
    assert parse_proc_cgroup("0::/gone (deleted)\n", 2) == "/gone"


@pytest.mark.parametrize("separator", ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    assert parse_proc_cgroup(f"0::/a{separator}b\n", 2) == f"/a{separator}b"
    assert parse_proc_cgroup(f"8:cpu:/a{separator}8:cpu:/b\n0::/\n", 1) == f"/a{separator}8:cpu:/b"
    assert mount(f"30 22 0:27 /a{separator}b /c rw - cgroup2 cgroup2 rw")[:2] == (f"/a{separator}b", "/c")


def test_the_last_mount_at_a_point_is_the_visible_one() -> None:
    text = (
        "30 22 0:27 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "40 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    )
    found = find(parse_mountinfo(text), {"/sys/fs/cgroup": "cpu"})
    assert (found.mount, found.root, found.prefix) == ("/sys/fs/cgroup", "/", "")
    covered = find([v1("/c", "cpu"), v2("/c")], {"/c": "cpu"})
    assert (covered.layout, covered.version) == ("v2", 2)
    with pytest.raises(Unsupported) as caught:
        find([v1("/c", "cpu"), v1("/c", "memory")], {})
    assert caught.value.message == "the cpu controller is not available in any mounted cgroup hierarchy (/c)"


def test_v1_has_cpu_and_cpuacct_together_or_apart() -> None:
    together = find([v1("/c/cpu,cpuacct", "cpu", "cpuacct"), v1("/c/systemd", "name=systemd")], {})
    assert (together.layout, together.mount, together.acct) == ("v1", "/c/cpu,cpuacct", "/c/cpu,cpuacct")
    assert together.units == "/c/systemd"
    apart = find([v1("/c/cpuacct", "cpuacct"), v1("/c/cpu", "cpu")], {})
    assert (apart.mount, apart.acct, apart.units) == ("/c/cpu", "/c/cpuacct", None)
    alone = find([v1("/c/cpu", "cpu")], {})
    assert alone.acct is None


def test_a_controller_whose_name_only_begins_with_cpu_is_another() -> None:
    with pytest.raises(Unsupported):
        find([v1("/c/cpuset", "cpuset")], {})


def test_hybrid_is_both_and_the_controller_decides() -> None:
    on_v1 = find([v2("/c/unified"), v1("/c/cpu", "cpu")], {"/c/unified": "memory"})
    assert (on_v1.layout, on_v1.version, on_v1.mount) == ("hybrid", 1, "/c/cpu")
    on_v2 = find([v2("/c/unified"), v1("/c/memory", "memory")], {"/c/unified": "cpuset cpu pids\n"})
    assert (on_v2.layout, on_v2.version, on_v2.mount) == ("hybrid", 2, "/c/unified")


def test_the_mount_that_shows_the_most_is_taken() -> None:
    bind = v2("/bind", root="/machine.slice")
    assert find([bind, v2("/c")], {"/bind": "cpu", "/c": "cpu"}).mount == "/c"
    part = v1("/bind", "cpu", root="/docker/x")
    assert find([part, v1("/c", "cpu")], {}).mount == "/c"


def test_no_controller_anywhere_names_the_mounts() -> None:
    with pytest.raises(Unsupported) as caught:
        find([v2("/c")], {"/c": "memory pids"})
    assert caught.value.message == "the cpu controller is not available in any mounted cgroup hierarchy (/c)"


def test_without_proc_there_is_no_mountinfo(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        detect(Scratch(tmp_path).host)
    assert caught.value.message == f"cannot read {tmp_path}/proc/1/mountinfo: No such file or directory"
    assert caught.value.hint == "mount -t proc proc /proc"


WHOLE = Hierarchy("v2", 2, "/c", "/", None, False)
PART = Hierarchy("v1", 1, "/c", "/docker/x", None, False)
DOTS = Hierarchy("v2", 2, "/c", "/", None, False, prefix="/../..")


@pytest.mark.parametrize(
    ("hierarchy", "cgroup", "directory"),
    [
        (WHOLE, "/", "/c"),
        (WHOLE, "/a/b", "/c/a/b"),
        (WHOLE, "/a/b/", "/c/a/b"),
        (WHOLE, "/..a/b..", "/c/..a/b.."),
        (PART, "/docker/x", "/c"),
        (PART, "/docker/x/y", "/c/y"),
    ],
)
def test_the_directory_of_a_cgroup(hierarchy: Hierarchy, cgroup: str, directory: str) -> None:
    assert hierarchy.directory(cgroup) == directory


@pytest.mark.parametrize("cgroup", ["/", "/docker", "/docker/xy", "/other"])
def test_a_cgroup_beside_what_is_mounted(cgroup: str) -> None:
    with pytest.raises(Unsupported) as caught:
        PART.directory(cgroup)
    assert caught.value.message == f"cgroup {cgroup} is not below /docker/x, all that is mounted at /c"
    assert caught.value.hint == "run cputune on the host"


@pytest.mark.parametrize("hierarchy", [WHOLE, PART])
@given(parts=st.lists(st.sampled_from(("..", ".", "a", "", "docker", "x", "...")), max_size=8))
def test_no_directory_is_outside_the_mount(hierarchy: Hierarchy, parts: list[str]) -> None:
    cgroup = "/" + "/".join(parts)
    if ".." in parts or (hierarchy is PART and not f"{cgroup}/".startswith("/docker/x/")):
        with pytest.raises(Unsupported):
            hierarchy.directory(cgroup)
        return
    directory = hierarchy.directory(cgroup)
    assert f"{os.path.normpath(directory)}/".startswith("/c/")


def test_paths_of_a_mount_from_outside_the_namespace() -> None:
    found = [DOTS.strip(path) for path in ("/../../system.slice/x.service", "/../..")]
    assert found == ["/system.slice/x.service", "/"]


@given(st.lists(st.sampled_from(("..", "a", "b")), max_size=5))
def test_a_path_that_does_not_begin_with_the_mounts_dots_is_refused(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assume(not f"{path}/".startswith("/../../"))
    with pytest.raises(Unsupported, match=r"is outside this cgroup namespace$"):
        DOTS.strip(path)
