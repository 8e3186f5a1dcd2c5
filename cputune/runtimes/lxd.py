"""Containers of LXD, from a package or the snap."""

from __future__ import annotations

from cputune.runtimes.instances import Instances
from cputune.runtimes.liblxc import is_settled as is_settled

INSTANCES = Instances("lxd", command="lxc")
find, domains, of_cgroup = INSTANCES.find, INSTANCES.domains, INSTANCES.of_cgroup
