"""The guard as a process: waits for the kernel, the clock and signals, and asks the keeper to take its turns."""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from contextlib import ExitStack
from types import FrameType

from cputune.core.errors import CpuTuneError
from cputune.guard import service
from cputune.guard.dispatcher import Dispatcher
from cputune.transaction import signals
from cputune.transaction.locks import Busy, Keys

_ODD = 1.0
"""Seconds after an error that should not have been."""
_KEYS = Keys(frozenset(("guard",)))


class Loop:
    """Runs one keeper until a signal ends it: SIGTERM or SIGINT; SIGHUP reads the configurations anew."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._ended = False
        self._reload = False
        self._said = ""
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        """Until it is ended. Raises Busy where there is another guard, CpuTuneError where it cannot begin."""
        self._catch_signals()
        signals.keep_pending()
        # The command line lives too short for it; this does not.
        gc.enable()
        with self._alone():
            self.dispatcher.warm()
            self.dispatcher.begin()
            gc.freeze()
            summary = self.dispatcher.summary()
            self.dispatcher.log(service.INFO, f"watching; {summary}", action="ready")
            service.notify("READY=1", f"STATUS={summary}")
            while not self._ended:
                self._turn()
            service.notify("STOPPING=1")

    def _alone(self) -> ExitStack:
        held = ExitStack()
        try:
            held.enter_context(self.dispatcher.tuner.context.locks.hold(_KEYS, 0))
        except Busy as error:
            raise Busy(f"another guard runs: {error.message.partition(' changes ')[0]}", error.hint) from error
        return held

    def _go_on(self, message: str) -> None:
        self.dispatcher.log(service.ERROR, f"{message}; looking at everything", action="failed")
        self.dispatcher.look_again()
        time.sleep(_ODD)  # it may come again at once

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Nothing is interrupted: what is under way comes to its end."""
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._ended = True

    def _turn(self) -> None:
        beat = service.watchdog_seconds()
        waits = [seconds for seconds in (self.dispatcher.timeout(), beat) if seconds is not None]
        readable, _, _ = select.select(
            [self.dispatcher.tree.queue.fd, self._wake], [], [], min(waits) if waits else None
        )
        if self._wake in readable:
            os.read(self._wake, 4096)
        if self._reload:
            self._reload = False
            service.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self.dispatcher.reload()
            service.notify("READY=1")
        try:
            self.dispatcher.step()
        except CpuTuneError as error:
            self._go_on(error.message)
        except Exception as error:  # a mistake of ours, or something odd: a guard that goes on is better than none
            self._go_on(f"{type(error).__name__}: {error}")
        summary = self.dispatcher.summary()
        states = [
            *(["WATCHDOG=1"] if beat is not None else []),
            *([f"STATUS={summary}"] if summary != self._said else []),
        ]
        self._said = summary
        if states:
            service.notify(*states)
