"""What one version of the cpu controller is: its kernel files, the knobs in them, and how their values are written.

Everything that depends on the version is read off its table of files; a line there is all that a knob needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cputune.core.knobs import BANDWIDTH, KNOB, UNLIMITED, WEIGHT, Value
from cputune.core.model import CpuTune, KnobValues, Stats, Write
from cputune.core.units import parse_integer
from cputune.host.system import Host

if TYPE_CHECKING:
    from cputune.host.cgroup.bandwidth import Band


class KnobFile:
    """One kernel file, and the knobs whose values are in it."""

    def __init__(
        self,
        name: str,
        *keys: str,
        decode: Callable[[str], tuple[Value, ...]] | None = None,
        encode: Callable[..., str] | None = None,
        also: tuple[str, ...] = (),
    ) -> None:
        """`decode` makes values of the file's text, in the order of `keys`, and `encode` the text that sets them.

        Without them the file has one knob, which is read and written as its row does, except that no limit is "max",
        and a flag 0 or 1. `also` are other files that show the same.
        """
        self.name = name
        self.keys = keys
        self.also = also
        self.decode = decode or (lambda text: (KNOB[keys[0]].kind.read(text.strip()),))
        self._encode = encode or (lambda value: _text_of(keys[0], value))

    def text(self, values: KnobValues) -> str:
        """Return what has to be written so that the file has the values of its knobs; "unset" where one has none."""
        wanted = [values[key] for key in self.keys]
        return "unset" if None in wanted else self._encode(*wanted)

    def has(self, keys: Iterable[str]) -> bool:
        """Return whether the file has one of these knobs."""
        return not set(self.keys).isdisjoint(keys)


def _text_of(key: str, value: Value) -> str:
    if value is UNLIMITED:
        return "max"
    return str(int(value)) if isinstance(value, bool) else KNOB[key].format(value)


def number(text: str) -> tuple[int]:
    """Return the decoder of a file with one whole number. Encoded by `str`."""
    return (int(text),)


def counters(text: str) -> dict[str, int]:
    """Return the numbers of a flat keyed file, such as cpu.stat (cgroup-v2.rst, Format), without what is none."""
    pairs = ((key, parse_integer(value)) for key, _, value in (line.partition(" ") for line in text.splitlines()))
    return {key: value for key, value in pairs if value is not None}


class Backend:
    """One version of the cpu controller."""

    def __init__(
        self,
        version: int,
        weight_key: str,
        files: tuple[KnobFile, ...],
        parse_stats: Callable[[str, str | None], Stats],
        *,
        systemd_moves: tuple[tuple[str, ...], ...],
        limit_resets_burst: bool,
    ) -> None:
        """`weight_key` is the knob in whose unit this version counts the weight. The order of `files` decides among
        equally good orders of writes. `parse_stats` reads cpu.stat and v1's cpuacct.usage.

        `systemd_moves` are the knobs that each of systemd's writes of a limit changes, in its order;
        `limit_resets_burst` says that some kernels change the burst when the limit is written.
        """
        self.version = version
        self.weight_key = weight_key
        self.default_weight = KNOB[weight_key].default
        self.files = files
        self.parse_stats = parse_stats
        self.systemd_moves = systemd_moves
        self.limit_resets_burst = limit_resets_burst
        self.keys = tuple(key for file in files for key in file.keys)
        """The knobs that this version has, where the kernel is new enough."""
        self.moves = tuple(file.keys for file in files if file.has(BANDWIDTH))
        """The knobs of the bandwidth that one write changes: each alone on v1, quota and period together on v2."""
        self.others = tuple(file for file in files if not file.has(BANDWIDTH + WEIGHT))
        """The files of knobs that the kernel has no rules of order for."""
        self.names = frozenset(name for file in files for name in (file.name, *file.also))
        """The names of all files that show a knob."""

    def file(self, key: str) -> KnobFile | None:
        """Return the file that has this knob; None where this version has none."""
        key = self.weight_key if KNOB[key].alternative == self.weight_key else key
        return next((file for file in self.files if key in file.keys), None)

    def write(self, directory: str, key: str, old: KnobValues, new: KnobValues) -> Write:
        """Return the write into the file of a knob that leads from `old` to `new`."""
        file = self.file(key)
        assert file is not None
        return Write(f"{directory}/{file.name}", file.text(new), file.text(old))

    def band_write(self, directory: str, old: Band, new: Band) -> Write:
        """Return the one write that leads from one state of the bandwidth to the next."""
        before, after = (CpuTune(**band._asdict()) for band in (old, new))
        key = next(file.keys[0] for file in self.files if file.has(before.differing(after)))
        return self.write(directory, key, before, after)

    def texts(self, state: CpuTune) -> dict[str, str]:
        """Return the text of each file in this state, by file name; without the weight of an idle group."""
        state = state.replace(**{self.weight_key: None}) if state.idle else state
        return {file.name: file.text(state) for file in self.files if None not in [state[key] for key in file.keys]}

    def read(self, host: Host, directory: str, keys: Iterable[str] | None = None) -> CpuTune:
        """Return what is in force in a group: all of it, or what is in the files of these knobs. Raises OSError.

        A knob has no value where its file is not there.
        """
        values: dict[str, Value] = {}
        for file in self.files if keys is None else [file for file in self.files if file.has(keys)]:
            try:
                text = host.read(f"{directory}/{file.name}")
            except FileNotFoundError:
                continue
            values.update(zip(file.keys, file.decode(text), strict=True))
        return CpuTune(**values)

    def default(self) -> CpuTune:
        """Return what a group has that the cpu controller has just been enabled for."""
        return CpuTune(**{key: KNOB[key].default for key in self.keys})
