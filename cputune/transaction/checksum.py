"""The checksum at the end of each of cputune's own files, and what is done with one that is damaged.

It finds what a disk or a crash has done to a file, not what an attacker has: whether others can write to it is checked
apart from that (`host.files`).
"""

from __future__ import annotations

import os
import time
import zlib
from contextlib import suppress

from cputune.core.errors import from_os_error
from cputune.host.files import make_trusted_dir

_LENGTH = len("crc32 89abcdef\n")


def sealed(text: str) -> str:
    """The text, and the last line with its checksum."""
    return text + _seal(text)


def unsealed(text: str) -> str | None:
    """The text that was sealed; None if it is damaged."""
    content = text[:-_LENGTH]
    return content if text[-_LENGTH:] == _seal(content) else None


def _seal(text: str) -> str:
    return f"crc32 {zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}\n"


def set_aside(path: str, folder: str, fd: int | None = None) -> str:
    """Move a damaged file to `folder`/damaged. Returns what was done, as a sentence. Raises CpuTuneError.

    With `fd`, where the file is open, what another process has put in its place meanwhile stays there.
    """
    try:
        aside = new_name(path, os.path.join(folder, "damaged"))
        make_trusted_dir(os.path.dirname(aside))
        os.rename(path, aside)
        if fd is not None and not os.path.samestat(os.lstat(aside), os.fstat(fd)):
            with suppress(FileExistsError):
                os.link(aside, path, follow_symlinks=False)
            os.unlink(aside)
    except OSError as error:
        raise from_os_error(error, f"move {path} aside, which is damaged") from error
    return f"{path} is damaged and not used: it is now {aside}"


def new_name(path: str, folder: str) -> str:
    """A name in `folder` for a damaged file, or a part of one, that no other has."""
    return os.path.join(folder, f"{os.path.basename(path)[:200]}.{time.time_ns()}")
