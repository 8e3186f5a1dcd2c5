"""Hooks: runtimes that have them call cputune, which then limits a container before its first instruction.

`files` knows where the hook of each runtime is, `installer` puts it there, `handler` does what a called hook has to do.
"""

from cputune.runtimes import registry

RUNTIMES = tuple(program for row in registry.RUNTIMES.values() for program in row.hooks)
"""The runtimes with a hook that is called before the first instruction, as `cputune hook` names them."""
