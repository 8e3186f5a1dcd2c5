"""incus:[PROJECT/]NAME, a container of incus; without PROJECT, of the project default."""

from __future__ import annotations

from cputune.runtimes.instances import Instances

INSTANCES = Instances("incus", ("/var/lib/incus/containers",))
find, domains, of_cgroup = INSTANCES.find, INSTANCES.domains, INSTANCES.of_cgroup
