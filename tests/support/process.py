"""cputune as a process of its own: with pipes, or on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.support.commandline import Ended


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CPUTUNE", "COLUMNS", "NO_COLOR"))}
    return {**kept, "TERM": "xterm", "LANG": "C.UTF-8", **more}


def process(*words: str, options: tuple[str, ...] = (), **more: str) -> Ended:
    """`python -m cputune` with pipes."""
    argv = [sys.executable, *options, "-m", "cputune", *words]
    done = subprocess.run(argv, env=environment(**more), capture_output=True, text=True, check=False, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


def terminal(width: int, *words: str, **more: str) -> str:
    """What it prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    argv = [sys.executable, "-m", "cputune", *words]
    with subprocess.Popen(argv, env=environment(**more), stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        data = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not piece:
                break
            data += piece
    os.close(ours)
    assert child.returncode == 0
    return data.decode()
