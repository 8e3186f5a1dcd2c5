"""The guard: saved configurations in force from a container's start, and kept, by the kernel's own events.

`tree` watches directories of cgroups (by `inotify`), `keeper` decides what an event means and has `tune` do it,
`fights` knows when to give in, `loop` is the process, `service` talks to systemd and the journal, `unit` installs it.
"""
