"""libvirt's LXC driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.errors import NoSuchDomain
from cputune.core.knobs import LIMIT, WEIGHT
from cputune.core.model import Details, Scale
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from tests.support.hosts import Scratch, lay_out, read


def test_libvirts_shares_are_the_weight_on_v2_and_shares_on_v1(scratch: Scratch, tmp_path: Path) -> None:
    on_v2 = lookup.find(Cgroups(scratch.host), "libvirt:mydom")
    on_v1 = lookup.find(Cgroups(lay_out(read("debian13-legacy"), tmp_path / "v1").host), "libvirt:mydom")
    assert (on_v2.scale, on_v1.scale) == (Scale.WEIGHT, Scale.KERNEL)
    assert on_v2.details == Details(id="438", uuid="6433a6ff439a48b49078e60384bdc7a6")
    weight, limit = on_v2.knob_cgroups()
    assert (weight.carries, limit.carries) == (WEIGHT, LIMIT)


@pytest.mark.parametrize("text", ["", "abc\n", "0\n", "99999\n"])
def test_a_libvirt_domain_whose_process_is_gone_does_not_run(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/run/libvirt/lxc/mydom.pid", text)
    found = lookup.find(cgroups, "libvirt:mydom")
    assert (found.running, found.persistent, found.limit_cgroup, found.knob_cgroups()) == (False, True, None, ())


def test_a_process_id_that_another_program_has_now_is_not_libvirts(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.process(438, "0::/system.slice/ssh.service\n", "/usr/sbin/sshd -D")
    assert not lookup.find(cgroups, "libvirt:mydom").running


def test_a_transient_libvirt_domain_that_ended_is_none(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.path("/etc/libvirt/lxc/mydom.xml").unlink()
    assert not lookup.find(cgroups, "libvirt:mydom").persistent
    scratch.path("/proc/438/status").unlink()
    with pytest.raises(NoSuchDomain, match=r"^no domain libvirt:mydom$"):
        lookup.find(cgroups, "libvirt:mydom")
    assert "libvirt:mydom" not in [domain.qualified for domain in lookup.domains(cgroups)]


def test_a_libvirt_domain_named_like_a_number_is_found_by_its_name_first(scratch: Scratch, cgroups: Cgroups) -> None:
    scratch.file("/etc/libvirt/lxc/438.xml", "<domain type='lxc'><name>438</name></domain>")
    assert lookup.find(cgroups, "libvirt:438").name == "438"
