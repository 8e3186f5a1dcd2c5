"""The guard's process: waits for the kernel's events, deadlines and signals, and lets the dispatcher handle them."""

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

_ERROR_PAUSE = 1.0
"""Seconds to wait after an unexpected error, which may come again at once: the guard must not use a whole CPU."""
_LOCK = Keys(frozenset(("guard",)))
"""Held by the one guard that may run on a host."""


class Loop:
    """Runs a dispatcher until SIGTERM or SIGINT; SIGHUP makes it read the configurations again."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._stop = False
        self._reload = False
        self._status = ""
        """What systemd was told last."""
        self._wakeup, self._wakeup_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        """Python's signal handler writes to this pipe, which ends select()."""

    def run(self) -> None:
        """Run until a signal stops it. Raises Busy if another guard is running, CpuTuneError if it cannot start."""
        self._catch_signals()
        signals.keep_pending()
        # Commands run without garbage collection, since they are short-lived; the guard is not.
        gc.enable()
        with self._locked():
            self.dispatcher.preload()
            self.dispatcher.scan()
            gc.freeze()
            summary = self.dispatcher.summary()
            self.dispatcher.log(service.INFO, f"ready: {summary}", action="ready")
            service.notify("READY=1", f"STATUS={summary}")
            while not self._stop:
                self._iterate()
            service.notify("STOPPING=1")

    def _locked(self) -> ExitStack:
        stack = ExitStack()
        try:
            stack.enter_context(self.dispatcher.tuner.context.locks.hold(_LOCK, 0))
        except Busy as error:
            raise Busy(f"another guard is running: {error.message}", error.hint) from error
        return stack

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the signal. It interrupts nothing: what the guard is doing is finished first."""
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stop = True

    def _iterate(self) -> None:
        """Wait until there is something to do, and do it."""
        watchdog = service.watchdog_seconds()
        timeouts = [seconds for seconds in (self.dispatcher.timeout(), watchdog) if seconds is not None]
        sources = [self.dispatcher.tree.queue.fd, self._wakeup]
        readable, _, _ = select.select(sources, [], [], min(timeouts) if timeouts else None)
        if self._wakeup in readable:
            os.read(self._wakeup, 4096)
        if self._reload:
            self._reload = False
            service.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self.dispatcher.reload()
            service.notify("READY=1")
        try:
            self.dispatcher.step()
        except CpuTuneError as error:
            self._continue_after(error.message)
        except Exception as error:  # a bug, most likely: a guard that goes on is better than none
            self._continue_after(f"{type(error).__name__}: {error}")
        self._notify(watchdog)

    def _continue_after(self, message: str) -> None:
        self.dispatcher.log(service.ERROR, f"{message}; scanning all cgroups", action="failed")
        self.dispatcher.scan_soon()
        time.sleep(_ERROR_PAUSE)

    def _notify(self, watchdog: float | None) -> None:
        """Tell systemd that the guard is alive, and its status if that has changed."""
        status = self.dispatcher.summary()
        states = ["WATCHDOG=1"] if watchdog is not None else []
        if status != self._status:
            states.append(f"STATUS={status}")
        self._status = status
        if states:
            service.notify(*states)
