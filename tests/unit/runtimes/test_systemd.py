"""Units of systemd."""

from __future__ import annotations

import pytest

from cputune.core.errors import NoSuchDomain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.systemd import slice_path
from tests.support.hosts import MOUNT, Scratch


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("-.slice", "/"),
        ("system.slice", "/system.slice"),
        ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
        ("system-serial\\x2dgetty.slice", "/system.slice/system-serial\\x2dgetty.slice"),
    ],
)
def test_slices_are_nested_by_their_names(name: str, path: str) -> None:
    assert slice_path(name) == path


@pytest.mark.parametrize(
    ("file", "unit", "persistent"),
    [
        ("/etc/systemd/system/x.service", "x.service", True),
        ("/usr/lib/systemd/system/x.service", "x.service", True),
        ("/lib/systemd/system/x.service", "x.service", True),
        ("/run/systemd/generator/x.mount", "x.mount", True),
        ("/usr/local/lib/systemd/system/x@.service", "x@1.service", True),
        ("/run/systemd/transient/x.service", "x.service", False),
        ("/run/systemd/transient/x.slice", "x.slice", False),
        ("/etc/systemd/user/x.service", "x.service", False),
        (None, "x.scope", False),
        (None, "x.slice", True),
    ],
)
def test_a_unit_is_persistent_by_its_file(
    scratch: Scratch, cgroups: Cgroups, file: str | None, unit: str, persistent: bool
) -> None:
    where = f"/{unit}" if unit.endswith(".slice") else f"/system.slice/{unit}"
    scratch.group("cgroup2", MOUNT + where)
    if file:
        scratch.file(file)
    found = lookup.find(cgroups, f"systemd:{unit}")
    assert (found.running, found.persistent, found.limit_cgroup) == (True, persistent, where)


def test_a_unit_with_a_file_that_does_not_run(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/etc/systemd/system/quiet.service")
    assert lookup.find(cgroups, "quiet.service")[2:6] == (False, True, None, None)


def test_a_unit_is_found_in_whatever_slice_it_is(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.group("cgroup2", f"{MOUNT}/lab.slice/lab-x.slice/deep.service")
    assert lookup.find(cgroups, "deep.service").limit_cgroup == "/lab.slice/lab-x.slice/deep.service"


@pytest.mark.parametrize("name", ["org.foo", "a.b.c", "x", "service", "y.timer"])
def test_a_name_without_a_kind_of_unit_is_a_service(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    scratch.group("cgroup2", f"{MOUNT}/system.slice/{name}.service")
    found = lookup.find(cgroups, f"systemd:{name}")
    assert (found.name, found.limit_cgroup) == (f"{name}.service", f"/system.slice/{name}.service")
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, name)


def test_without_systemd_there_is_no_unit(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/run/systemd/system/reboot.target").unlink()
    scratch.path("/run/systemd/system").rmdir()
    with pytest.raises(NoSuchDomain, match=r"^no domain ssh\.service$"):
        lookup.find(cgroups, "ssh.service")
    assert not [domain for domain in lookup.domains(cgroups) if domain.runtime == "systemd"]


@pytest.mark.parametrize("name", ["a b.service", "a\\x20b.service", "wéb.service", "a@b\\x2dc.service"])
def test_odd_names_of_units(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    scratch.group("cgroup2", f"{MOUNT}/system.slice/{name}")
    assert lookup.find(cgroups, f"systemd:{name}").limit_cgroup == f"/system.slice/{name}"
    assert lookup.find(cgroups, name).limit_cgroup == f"/system.slice/{name}"
