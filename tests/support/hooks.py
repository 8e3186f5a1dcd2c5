"""The file in which a runtime finds its hook."""

from __future__ import annotations

from cputune.guard.hooks.files import hook_files
from cputune.guard.hooks.hook_file import HookFile
from tests.support.fakekernel import FakeKernel

BUNDLE = '{"ociVersion": "1.0.2"}'
"""The config.json of an OCI bundle: that key is the only one that each has."""
CALL = ("/usr/bin/cputune",)


def hook_file(host: FakeKernel, runtime: str, *names: str) -> HookFile:
    return hook_files(host, runtime, names, CALL)[0]
