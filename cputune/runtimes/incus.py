"""Containers of incus."""

from __future__ import annotations

from cputune.runtimes.instances import Instances
from cputune.runtimes.liblxc import is_settled as is_settled

INSTANCES = Instances("incus", command="incus")
find, domains, of_cgroup = INSTANCES.find, INSTANCES.domains, INSTANCES.of_cgroup
