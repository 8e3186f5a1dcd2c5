"""The file in which a runtime finds its hook."""

from __future__ import annotations

from cputune.guard.hooks.files import hook_files
from cputune.guard.hooks.hook_file import HookFile
from tests.support.fakekernel import FakeKernel

CALL = ("/usr/bin/cputune",)


def hook_file(host: FakeKernel, runtime: str, *names: str) -> HookFile:
    return hook_files(host, runtime, names, CALL)[0]
