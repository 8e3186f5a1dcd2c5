"""Names that a domain can be asked by: the right answer or a clear error, and never a path outside the hierarchy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cputune.core.errors import Ambiguous, CpuTuneError, NoSuchDomain, UsageError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from tests.support.hosts import Scratch, lay_out, read

STATUS = "list the names: cputune status"
MOUNT = "/sys/fs/cgroup"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return lay_out(read("debian13-unified"), tmp_path)


@pytest.fixture
def cgroups(scratch: Scratch) -> Cgroups:
    return Cgroups(scratch.host)


def refused(cgroups: Cgroups, name: str) -> CpuTuneError:
    with pytest.raises(CpuTuneError) as caught:
        lookup.find(cgroups, name)
    return caught.value


def test_a_name_is_split_at_a_known_runtime_only() -> None:
    assert lookup.split("lxc:web") == ("lxc", "web")
    assert lookup.split("lxc:a:b") == ("lxc", "a:b")
    assert lookup.split("a:b") == (None, "a:b")
    assert lookup.split("web") == (None, "web")
    assert lookup.split(":web") == (None, ":web")
    assert lookup.split("LXC:web") == (None, "LXC:web")


@pytest.mark.parametrize("name", ["", "lxc:", "systemd:", "cgroup:"])
def test_no_name(cgroups: Cgroups, name: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is UsageError
    assert (error.message, error.hint) == ("the name of the domain is empty", STATUS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\0b", "a\\x00b"), ("lxc:a\nb", "lxc:a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("x" * 5000, "x" * 60)],
)
def test_what_can_be_no_name(cgroups: Cgroups, name: str, shown: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is UsageError
    assert error.message == f"{shown}: not a name: too long, or with control characters"


@pytest.mark.parametrize(
    "name",
    ["nosuch", "lxc:nosuch", "..", ".", "lxc:..", "libvirt:..", "nspawn:..", "systemd:..", "run:..", "lxc:../mydom",
     "libvirt:../lxc/mydom", "nspawn:../machines/mydom", "a/b", "lxc:mydom/..", "systemd:../mydom.service",
     "systemd:a/../mydom.service", "run:../lock", "x" * 300, "lxc:" + "x" * 300, "ü", "docker:mydom", "lxc:mydom ",
     "mydom.SERVICE", "libvirt:6433a6ff", "libvirt:-438", "libvirt:driver"],
)  # fmt: skip
def test_what_nobody_knows(cgroups: Cgroups, name: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is NoSuchDomain
    shown = name if name != "systemd:.." else "systemd:.."
    assert (error.message, error.hint) == (f"no domain {shown}", STATUS)


def test_a_broken_byte_is_shown_as_an_escape(cgroups: Cgroups) -> None:
    assert refused(cgroups, "lxc:\udcff").message == "no domain lxc:\\udcff"


def test_a_name_that_more_than_one_runtime_knows(cgroups: Cgroups) -> None:
    error = refused(cgroups, "mydom")
    assert type(error) is Ambiguous
    assert (
        error.message
        == "mydom is the name of more than one domain: libvirt:mydom, lxc:mydom, incus:mydom, nspawn:mydom"
    )
    assert error.hint == "name one of them as it is here"


def test_a_path_is_no_name(cgroups: Cgroups) -> None:
    error = refused(cgroups, "/system.slice")
    assert type(error) is UsageError
    assert error.message == "/system.slice is a path, not the name of a domain"
    assert error.hint == "cputune status cgroup:/system.slice"


@pytest.mark.parametrize("path", ["..", "system.slice", "/../etc", "/a/./b", "/system.slice/..", "/..", "./x"])
def test_paths_that_are_not_absolute_and_straight(cgroups: Cgroups, path: str) -> None:
    error = refused(cgroups, f"cgroup:{path}")
    assert type(error) is UsageError
    assert error.message == f"cgroup:{path}: not an absolute path without . and .."
    assert error.hint == "cputune status cgroup:/system.slice"


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "1.5", "+1", "٣"])
def test_what_is_no_process(cgroups: Cgroups, number: str) -> None:
    error = refused(cgroups, f"pid:{number}")
    assert type(error) is UsageError
    if number:
        assert error.message == f"pid:{number}: not the number of a process"
        assert error.hint == "ps -e"


def test_a_link_that_leads_out_of_the_hierarchy_is_not_followed(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.folder("/outside/inner")
    scratch.link(f"{MOUNT}/link", f"{scratch.directory}/outside")
    assert refused(cgroups, "cgroup:/link/inner").message == "no domain cgroup:/link/inner"


PIECES = ("..", ".", "/", "mydom", "system.slice", "\\x2d", " ", "*", "[", "ü", "-", "1000", "\0")
NAMES = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30).map(os.fsdecode),
    st.builds(
        "{}:{}".format,
        st.sampled_from(tuple(RUNTIMES)),
        st.lists(st.sampled_from(PIECES)).map("".join),
    ),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)
@given(NAMES)
@example("cgroup://../..//")
@example("cgroup:/sys/fs/cgroup/../../../etc")
@example("systemd:/")
@example("systemd:-.slice")
@example("systemd:a--b.slice")
def test_no_name_leads_outside_or_is_an_unexpected_error(cgroups: Cgroups, name: str) -> None:
    for directory in directories(cgroups, name):
        assert f"{os.path.normpath(directory)}/".startswith(f"{MOUNT}/")


def directories(cgroups: Cgroups, name: str) -> list[str]:
    """Where a domain's cgroups are; none for a name that is refused. Any other error is a failure."""
    try:
        return list(map(cgroups.directory, lookup.find(cgroups, name).cgroups))
    except CpuTuneError:
        return []


@pytest.mark.parametrize("name", ["web one", "wéb", "a\\x2db", "web-1", "[x]", "*", "a.service", "-x", "10", "a:b"])
def test_odd_names_of_containers(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    sockets = scratch.text("/proc/1/net/unix")
    line = f"0000000000000000: 00000002 00000000 00010000 0001 01 77 @/var/lib/lxc/{name}/command\n"
    scratch.file("/proc/1/net/unix", sockets + line)
    for kind in ("monitor", "payload"):
        scratch.group("cgroup2", f"{MOUNT}/lxc.{kind}.{name}")
    scratch.process(2000, f"0::/lxc.monitor.{name}\n", f"[lxc monitor] /var/lib/lxc {name}")
    scratch.process(2001, f"0::/lxc.payload.{name}\n", "/sbin/init", 2000)
    found = lookup.find(cgroups, f"lxc:{name}")
    assert (found.name, found.limit_cgroup, found.persistent) == (name, f"/lxc.payload.{name}", False)
    assert found in list(lookup.domains(cgroups))


@pytest.mark.parametrize("name", ["a b.service", "a\\x20b.service", "wéb.service", "a@b\\x2dc.service"])
def test_odd_names_of_units(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    scratch.group("cgroup2", f"{MOUNT}/system.slice/{name}")
    assert lookup.find(cgroups, f"systemd:{name}").limit_cgroup == f"/system.slice/{name}"
    assert lookup.find(cgroups, name).limit_cgroup == f"/system.slice/{name}"
