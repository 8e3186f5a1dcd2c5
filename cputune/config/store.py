"""The saved configurations: one YAML file per domain, below /etc/cputune/domains, whose text `schema` reads."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from cputune.config.schema import Saved, edited, mistake_at, parse
from cputune.core.errors import CpuTuneError, NoPermission, UsageError, from_os_error
from cputune.core.model import Change, Domain
from cputune.core.names import by_precedence, file_name, fits, is_pattern, name_of, printable
from cputune.host.files import require_trusted, require_trusted_path, sync_dir, write_atomically
from cputune.host.system import Host

SUFFIX = ".yaml"
_LARGEST = 65536


class Store:
    """The configuration directory of one host; it is created when something is first saved."""

    def __init__(self, host: Host) -> None:
        self.directory = os.path.join(host.config_dir, "domains")
        self._patterns: dict[str, list[str]] = {}

    def path(self, domain: Domain) -> str:
        """Return the file of a domain."""
        return self.place(domain.qualified)

    def load(self, domain: Domain) -> Saved:
        """Return the configuration of a domain; an empty one where there is no file.

        Raises UsageError with the line of a mistake, NoPermission.
        """
        path = self.path(domain)
        text = read(path)
        if text is None:
            return Saved(path, "", Change())
        saved = parse(path, text)
        if saved.domain not in (None, domain.qualified):
            raise UsageError(
                f"{path}: the key domain is not {domain.qualified}, whose file this is",
                f"$EDITOR {path}",
            )
        return saved

    def effective(self, domain: Domain) -> Saved:
        """Return the configuration that counts for a domain: its own, else that of the pattern that fits it best.

        Files are not merged: one counts. Raises as `load`.
        """
        own = self.load(domain)
        if own.text:
            return own
        pattern = self.pattern_of(domain)
        return self.load(domain._replace(name=pattern)) if pattern else own

    def pattern_of(self, domain: Domain) -> str | None:
        """Return the pattern among the saved names that fits a domain best; None where none does."""
        if is_pattern(domain.name):
            return None
        return next((pattern for pattern in self.patterns(domain.runtime) if fits(pattern, domain.name)), None)

    def patterns(self, runtime: str) -> list[str]:
        """Return the saved patterns of a runtime; of several that match a name, the first one counts."""
        if runtime not in self._patterns:
            # In a file's name, a pattern's special characters are %XX.
            files = (file for file in _sorted(os.path.join(self.directory, runtime)) if "%" in file)
            names = (name_of(file.removesuffix(SUFFIX)) for file in files if file.endswith(SUFFIX))
            self._patterns[runtime] = by_precedence(name for name in names if name and is_pattern(name))
        return self._patterns[runtime]

    def save(self, domain: Domain, saved: Saved, change: Change) -> str | None:
        """Make `change` the configuration of a domain; without any knob, its file is removed. Returns the new text.

        Raises Refused (disk full), NoPermission, UsageError for a file whose form cannot be kept.
        """
        text = None if not change.named() else edited(saved, domain.qualified, change)
        self.write(saved.path, text)
        return text

    def write(self, path: str, text: str | None) -> None:
        """Replace a file whole, through to the disk; None removes it. Raises Refused, NoPermission."""
        try:
            require_trusted_path(path, 2)
            if text is not None:
                write_atomically(path, text, sync=True)
            elif os.path.lexists(path):
                os.unlink(path)
                sync_dir(os.path.dirname(path))
        except OSError as error:
            raise from_os_error(error, f"save {path}") from error

    def place(self, name: str) -> str:
        """Return the only path at which the file of RUNTIME:NAME counts."""
        runtime, _, own = name.partition(":")
        return os.path.join(self.directory, runtime, file_name(own) + SUFFIX)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield RUNTIME:NAME and path of every file, sorted; a name too long for a file name is read from the file."""
        if not os.path.isdir(os.path.dirname(self.directory)) and os.path.lexists(os.path.dirname(self.directory)):
            error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            raise from_os_error(error, f"read {os.path.dirname(self.directory)}")
        for runtime in _sorted(self.directory):
            for file in _sorted(os.path.join(self.directory, runtime)):
                if file.endswith(SUFFIX) and not file.startswith("."):
                    path = os.path.join(self.directory, runtime, file)
                    yield _name_of(runtime, file.removesuffix(SUFFIX), path), path


def read(path: str, limit: int = _LARGEST, *, own: bool = True) -> str | None:
    """Return the text of a configuration file; None where there is none. Raises CpuTuneError.

    An `own` one must not be such that others can change or replace it, nor a symbolic link: it says what root will do.
    Any other is a file or a pipe; opening a device can have an effect, and is refused.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if own else 0)
    try:
        fd = os.open(path, flags) if own else _open_given(path, flags)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    try:
        if own:
            require_trusted_path(path, 2)
            require_trusted(path, os.fstat(fd))
        data = b""
        while len(data) <= limit and (more := os.read(fd, limit + 1 - len(data))):
            data += more
    except OSError as error:
        raise _cannot_read(path, error) from error
    finally:
        os.close(fd)
    return decoded(path, data, limit)


def _open_given(path: str, flags: int) -> int:
    """Open a file, or a pipe such as bash's <(...), which is waited for. Raises OSError, UsageError for others."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise UsageError(f"{path}: neither a file nor a pipe", f"ls -ld {path}")
        fd = os.open(f"/proc/self/fd/{handle}", flags)
    finally:
        os.close(handle)
    os.set_blocking(fd, True)
    return fd


def _cannot_read(path: str, error: OSError | ValueError) -> CpuTuneError:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return NoPermission(f"cannot read {path}: it is a symbolic link, which is not followed", f"ls -l {path}")
    if isinstance(error, ValueError):
        return UsageError(f"{printable(path)}: not the name of a file")
    return from_os_error(error, f"read {path}")


def decoded(path: str, data: bytes, limit: int) -> str:
    """Return the text of a file of at most `limit` bytes. Raises UsageError."""
    if len(data) > limit:
        raise UsageError(f"{path}: larger than {limit} bytes, which no configuration of a domain is", f"ls -l {path}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode())
        raise mistake_at(path, before.count(b"\n"), column, "not UTF-8") from error


def _sorted(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os_error(error, f"read {folder}") from error


def _name_of(runtime: str, stem: str, path: str) -> str:
    name = name_of(stem)
    if name is not None:
        return f"{runtime}:{name}"
    try:
        return parse(path, read(path) or "").domain or f"{runtime}:{stem}"
    except CpuTuneError:
        return f"{runtime}:{stem}"
