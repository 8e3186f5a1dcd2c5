"""The installed cputune, killed in the middle."""

from __future__ import annotations

from tests.vm.machine import Vm

KILLED = 137

DIES = """
import importlib, os, signal, sys
module, name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner = importlib.import_module(module)
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
function = getattr(owner, name.rpartition(".")[2])
calls = 0

def dying(*arguments, **options):
    global calls
    found = function(*arguments, **options)
    calls += 1
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

setattr(owner, name.rpartition(".")[2], dying)
from cputune.cli.main import run
sys.exit(run(sys.argv[4:]))
"""


def dies(vm: Vm, where: str, number: int, command: str) -> None:
    """Run a command of cputune's that is killed right behind a call of that function."""
    module, _, name = where.partition(":")
    # The shell stays to tell: for a command that a signal ended ssh has no number.
    script = f"/opt/cputune/bin/python - {module} {name} {number} {command}; exit $?"
    done = vm.run(script, stdin=DIES, timeout=600)
    assert done.returncode == KILLED, done
