"""The process: `python -m cputune`, and the installed command. Starts quickly and ends at once."""

import gc

# A command makes next to no garbage before it ends, and scripts call it in loops: looking for garbage while click is
# loaded takes a tenth of the whole call.
gc.disable()

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with the status that the manual gives for what happened."""
    from cputune.cli.main import catch_signals, run

    catch_signals()
    status = run(sys.argv[1:])
    # Everything is flushed and closed; taking the interpreter apart would take another tenth.
    os._exit(status)


if __name__ == "__main__":
    main()
