"""The guard: a process that applies saved configurations when domains start, and watches that they stay in force.

`loop` is the process and `dispatcher` its center; `tree` turns the kernel's events into changes of cgroups, `startup`
handles starts, `checker` drift; `unit` installs the guard as a service, `hooks` have runtimes call cputune themselves.
"""
