"""What a change really does, in order, in the words of `--dry-run`: to be compared with what that has printed.

    python - DIRECTORIES COMMAND [ARG]... <recorder.py     (in a virtual machine; prints the record of that command)

Recorded are the writes of kernel files, the calls to systemd, what systemd then writes itself, saved configurations,
and the commands and files of runtimes. Nothing of tests is imported: the text goes to the virtual machine as it is.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

Event = tuple[str, str, str]
"""What was done (do), to what (where), and the value that it got (to)."""


class Recorder:
    """Listens to a host, and to the modules that write files besides the kernel's."""

    def __init__(self, host: Any, directories: Sequence[str] = ()) -> None:
        self.events: list[Event] = []
        self._host = host
        """A host, or the class of all hosts."""
        self._directories = directories
        """Those that systemd may write to."""
        self._own: set[tuple[Any, str]] = set()
        self._before: list[tuple[Any, str, Any]] = []

    def listen(self) -> None:
        """Begin."""
        from cputune.config.store import Store
        from cputune.host.systemd import Systemd
        from cputune.transaction import native_actions

        self._replace(self._host, "write", self._write)
        self._replace(self._host, "run", self._run)
        self._replace(Systemd, "set", self._set)
        self._replace(Store, "write", self._save)
        self._replace(native_actions, "_edit", self._edit)

    def stop(self) -> None:
        """End; everything is as it was."""
        for owner, name, function in reversed(self._before):
            if (owner, name) in self._own:
                delattr(owner, name)
            else:
                setattr(owner, name, function)

    def _replace(self, owner: Any, name: str, listener: Callable[..., Any]) -> None:
        function = getattr(owner, name)
        if name not in vars(owner):
            self._own.add((owner, name))
        self._before.append((owner, name, function))
        setattr(owner, name, lambda *words, **options: listener(function, *words, **options))

    def _write(self, function: Callable[..., None], *words: Any) -> None:
        function(*words)
        path, text = words[-2:]
        self.events.append(("write", path, text))

    def _run(self, function: Callable[..., Any], *words: Any, **options: Any) -> Any:
        done = function(*words, **options)
        argv = next(list(word) for word in words if isinstance(word, (list, tuple)))
        if done.status == 0 and "SetUnitProperties" in argv and "true" in argv:
            self._properties(argv, options.get("user"))
        elif done.status == 0 and not _only_asks(argv):
            self.events.append(("run", " ".join(argv), ""))
        return done

    def _properties(self, argv: list[str], user: int | None) -> None:
        """busctl [--user] call ... SetUnitProperties sba(sv) UNIT true NUMBER [NAME t VALUE]..."""
        start = argv.index("SetUnitProperties") + 2
        owner = f"{os.geteuid() if user is None else user}/" if "--user" in argv else ""
        words = argv[start + 3 :]
        for name, value in zip(words[::3], words[2::3], strict=True):
            shown = "infinity" if value == str((1 << 64) - 1) else value
            self.events.append(("set-property", f"{owner}{argv[start]} {name}", shown))

    def _set(self, function: Callable[..., None], *words: Any) -> None:
        """What other files have behind the call is what systemd has written."""
        before = [self._texts(directory) for directory in self._directories]
        function(*words)
        for directory, old in zip(self._directories, before, strict=True):
            new = self._texts(directory)
            if old["cpu.idle"] == "1":  # the kernel gives it the default weight when it ceases to be idle
                old |= {name: DEFAULTS[name] for name in WEIGHTS}
            ignored = WEIGHTS if new["cpu.idle"] == "1" else ()
            changed = [name for name in FILES if new[name] != old[name] and name not in ignored]
            self.events += [("systemd-writes", f"{directory}/{name}", new[name]) for name in changed]

    def _texts(self, directory: str) -> dict[str, str]:
        """What the files say; without the controller the defaults are in force."""
        root = getattr(self._host, "root", "")
        return {name: _read(f"{root}{directory}/{name}") or text for name, text in DEFAULTS.items()}

    def _save(self, function: Callable[..., None], *words: Any) -> None:
        function(*words)
        path, text = words[-2:]
        self.events.append(("save", path, "removed" if text is None else "written"))

    def _edit(self, function: Callable[..., None], host: Any, edit: Any) -> None:
        function(host, edit)
        self.events.append(("edit", edit.path, ""))


DEFAULTS = {
    "cpu.idle": "0",
    "cpu.shares": "1024",
    "cpu.weight": "100",
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_quota_us": "-1",
    "cpu.max": "max 100000",
}
"""The files that systemd writes, in its order, with what they say at first."""
FILES, WEIGHTS = tuple(DEFAULTS), ("cpu.shares", "cpu.weight")


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def _only_asks(argv: list[str]) -> bool:
    return "get-property" in argv or argv[-1] == "--version" or argv[0] == "ctr"


@contextmanager
def recorded(host: Any, directories: Sequence[str] = ()) -> Iterator[list[Event]]:
    """What is done from now until the end of the block."""
    recorder = Recorder(host, directories)
    recorder.listen()
    try:
        yield recorder.events
    finally:
        recorder.stop()


def parsed(text: str) -> list[dict[str, str]]:
    """The steps of what `--dry-run` prints for people, but for what there was before."""
    found = []
    for line in text.splitlines():
        do, _, rest = line.partition(" ")
        where, _, value = rest.partition(" at ") if do == "hold" else rest.partition(": ")
        if do in ("run", "edit"):
            where, value = rest, ""
        found.append({"do": do, "where": where, "to": value.rpartition(" -> ")[2]})
    return found


def differences(events: Sequence[Event], steps: Sequence[dict[str, str]]) -> list[str]:
    """Where what was done is not what was planned, a line each; `steps` are those of `--dry-run --json`.

    Steps of the kind `hold` are done only where something has changed: they allow, and do not demand.
    """
    found, rest = [], list(events)
    position = 0
    while position < len(steps):
        step = steps[position]
        if step["do"] == "hold":
            last = next((n for n in range(position, len(steps)) if steps[n]["do"] != "hold"), len(steps))
            found += _held(rest, steps[position:last])
            position = last
            continue
        event = rest.pop(0) if rest else None
        if event is None or not _same(event, step):
            found.append(f"planned: {step}, done: {event}")
        position += 1
    return found + [f"not planned: {event}" for event in rest]


def _same(event: Event, step: dict[str, str]) -> bool:
    return event == (step["do"], step["where"], step["to"])


def _held(rest: list[Event], holds: Sequence[dict[str, str]]) -> list[str]:
    """Take what was written to hold something from the front of `rest`."""
    wanted = {step["where"]: step["to"] for step in holds}
    last: dict[str, str] = {}
    while rest and rest[0][0] in ("write", "set-property", "systemd-writes") and rest[0][1] in wanted:
        _, where, value = rest.pop(0)
        last[where] = value
    return [
        f"held: {where} at {value}, planned: {wanted[where]}" for where, value in last.items() if value != wanted[where]
    ]


def main(argv: list[str]) -> None:
    """Run a command of cputune's, and print as JSON what it did, what it printed, and its exit status."""
    from cputune.cli.main import run
    from cputune.host.system import Host

    directories, words = json.loads(argv[0]), argv[1:]
    printed = io.StringIO()
    with recorded(Host, directories) as events, redirect_stdout(printed):
        status = run(words)
    print(json.dumps({"status": status, "events": events, "printed": printed.getvalue()}))


if __name__ == "__main__":
    main(sys.argv[1:])
