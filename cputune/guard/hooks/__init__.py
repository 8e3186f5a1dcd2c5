"""Hooks of the runtimes that have some: limits in force before a container's first instruction.

`places` knows which files make a runtime call cputune, `starting` what is done when it does.
"""

from cputune.runtimes import registry

RUNTIMES = tuple(program for row in registry.RUNTIMES.values() for program in row.hooks)
"""Those with a hook that comes before the first instruction, as `cputune hook` calls them."""
