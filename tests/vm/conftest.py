"""The VM in which the end-to-end suite runs the installed cputune: `lab` boots it, `domains.sh` starts its domains.

    CPUTUNE_VM=1 pytest tests/vm     (as root the first time, to build the VM's image)

Environment: CPUTUNE_VM_MODE is unified (default), hybrid or legacy; CPUTUNE_VM_WHEEL is a wheel to test instead of one
built from this tree; CPUTUNE_VM_KEEP=1 leaves the VM running at the end and uses a running one; `lab` names the others.
Without CPUTUNE_VM=1 nothing in this folder is collected; with it, a VM that cannot be had is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.machine import RAN, Vm, build_wheel, install, must
from tests.vm.modes import needed
from tests.vm.runtimes import MODE

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
BUILD_SECONDS = 1800

WANTED = os.environ.get("CPUTUNE_VM") == "1"

collect_ignore_glob = [] if WANTED else ["*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not WANTED:  # a file named on the command line is collected whatever is ignored
        items[:] = [item for item in items if HERE not in item.path.parents]
    else:
        items[:] = [item for item in items if HERE not in item.path.parents or is_needed(item)]


def is_needed(item: pytest.Item) -> bool:
    return needed(MODE, item.path.name, getattr(item, "originalname", item.name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which runtimes' domains were there."""
    if RAN:
        terminalreporter.write_line(f"runtimes that ran: {', '.join(RAN)}")


@pytest.fixture(scope="session")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    mode = os.environ.get("CPUTUNE_VM_MODE", "unified")
    vm = Vm(mode, os.environ.get("CPUTUNE_VM_NAME", f"suite-{mode}"))
    keep = os.environ.get("CPUTUNE_VM_KEEP") == "1"
    ready_made = os.environ.get("CPUTUNE_VM_WHEEL")
    wheel = Path(ready_made) if ready_made else build_wheel(tmp_path_factory.mktemp("wheel"))
    try:
        if not (keep and vm.lab("status").returncode == 0):
            must(vm.lab("build", timeout=BUILD_SECONDS))
            must(vm.lab("start", mode, timeout=BUILD_SECONDS))
        install(vm, wheel)
        up = vm.run("/root/domains.sh up", timeout=900)
        must(up)
        RAN.extend(line.split("\t")[0] for line in up.stdout.splitlines() if line.count("\t") == 2)
        yield vm
    finally:
        if not keep:
            vm.lab("stop")
