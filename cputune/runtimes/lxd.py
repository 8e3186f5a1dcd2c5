"""lxd:[PROJECT/]NAME, a container of LXD, from a package or the snap."""

from __future__ import annotations

from cputune.runtimes.instances import Instances

INSTANCES = Instances("lxd", ("/var/lib/lxd/containers", "/var/snap/lxd/common/lxd/containers"))
find, domains, of_cgroup = INSTANCES.find, INSTANCES.domains, INSTANCES.of_cgroup
