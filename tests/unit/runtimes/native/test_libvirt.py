"""libvirt's definitions."""

from __future__ import annotations

import pytest

from cputune.core.knobs import MAX_QUOTA, UNLIMITED
from cputune.core.model import Change
from cputune.runtimes.native.libvirt import change_in as in_xml
from cputune.runtimes.native.libvirt import edited as edit_xml

XML = """<!-- made by hand -->
<domain type='lxc'>
  <name>web</name>
  <vcpu placement='static'>2</vcpu>{}
  <devices><emulator>/usr/lib/libvirt/libvirt_lxc</emulator></devices>
</domain>
"""


OTHER = "<emulator_period>1</emulator_period>"
TUNED = f"<cputune><shares>300</shares><period>50000</period><quota> 37000 </quota>{OTHER}</cputune>"


@pytest.mark.parametrize(
    ("inside", "change"),
    [
        ("", Change()),
        ("<cputune/>", Change()),
        (TUNED, Change(shares=300, period=50000, quota=37000)),
        ("<cputune><quota>-1</quota></cputune>", Change(quota=UNLIMITED)),
        (f"<cputune><quota>{MAX_QUOTA}</quota></cputune>", Change(quota=UNLIMITED)),
        ("<cputune><shares>many</shares><period>0</period></cputune>", Change()),
        ("<iotune><shares>7</shares></iotune>", Change()),
    ],
)
def test_what_a_definition_remembers(inside: str, change: Change) -> None:
    assert in_xml(XML.format(inside)) == change


def test_a_definition_gets_other_limits_and_keeps_the_rest() -> None:
    new = edit_xml(XML.format(TUNED), {"period": "100000", "quota": None})
    assert in_xml(new) == Change(shares=300, period=100000)
    assert "<emulator_period>1</emulator_period>" in new
    assert "<emulator>/usr/lib/libvirt/libvirt_lxc</emulator>" in new


def test_a_definition_without_any_gets_them() -> None:
    new = edit_xml(XML.format(""), {"shares": "512", "quota": "5000", "period": "10000"})
    assert in_xml(new) == Change(shares=512, period=10000, quota=5000)
