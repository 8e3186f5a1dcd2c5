"""Hooks of the runtimes that have some: limits in force before a container's first instruction.

`places` knows which files make a runtime call cputune, `starting` what is done when it does.
"""

RUNTIMES = ("podman", "runc", "crun", "lxc", "libvirt", "systemd")
"""Those with a hook that comes before the first instruction."""
