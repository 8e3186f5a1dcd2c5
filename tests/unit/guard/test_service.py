"""What the guard tells systemd and the journal."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.guard import service


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "socket"))
        yield found


def test_the_service_manager_is_told(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(listener.getsockname()))
    service.notify("READY=1", "STATUS=2 domains watched")
    assert listener.recv(100) == b"READY=1\nSTATUS=2 domains watched"
    monkeypatch.setenv("NOTIFY_SOCKET", "/nobody/there")
    service.notify("READY=1")  # and nothing is raised


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("60000000", "", 30.0), ("60000000", "own", 30.0), ("60000000", "1", None), ("", "", None),
     ("x", "", None), ("0", "", None)],
)  # fmt: skip
def test_how_often_the_watchdog_is_to_hear(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert service.watchdog_seconds() == seconds


def test_the_journal_gets_fields(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "_JOURNAL", str(listener.getsockname()))
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    service.Log()(service.WARNING, "two\nlines", domain="lxc:a\nb", cause="")
    assert listener.recv(1000).decode().splitlines() == [
        "MESSAGE=two\\nlines",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=cputune-guard",
        "CPUTUNE_DOMAIN=lxc:a\\nb",
    ]
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    service.Log()(service.WARNING, "a line", domain="lxc:web")
    assert capfd.readouterr().err == "cputune: a line\n"
