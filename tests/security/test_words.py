"""What a user gains who may run one command as root, on a path of his choice: nothing that is in the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cputune.host.system import Host
from tests.support.commandline import CommandLine
from tests.support.containers import containers
from tests.support.users import HOME, USER, Users

SHADOW = "root:$y$j9T$secretsalt$secrethash:19700:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\n"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0IGtleQ\n-----END OPENSSH PRIVATE KEY-----\n"
REGISTRY = '{"auths": {"registry.example.org": {"auth": "c2VjcmV0OnNlY3JldA=="}}}\n'
SECRETS = {"shadow": SHADOW, "id_ed25519": KEY, "config.json": REGISTRY, "binary": "\x00\x01c2VjcmV0\n", "empty": ""}
PARTS = ("secret", "c2VjcmV0", "$y$", "root:", "OPENSSH", "auth", "registry")


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("words", [("apply", "--file"), ("import",), ("import", "--replace", "--dry-run")])
@pytest.mark.parametrize("by_link", [False, True])
def test_a_file_of_roots_is_not_shown(
    users: Users, cputune: CommandLine, tmp_path: Path, name: str, words: tuple[str, ...], by_link: bool
) -> None:
    """Before: `sudo cputune apply --file /etc/shadow` printed the first line of it."""
    users.folder("/roots")
    users.file(f"/roots/{name}", SECRETS[name], mode=0o600)
    users.link(f"{HOME}/link", f"{users.root}/roots/{name}")
    done = cputune(
        containers(tmp_path / "host", 2),
        *words,
        f"{users.root}{HOME}/link" if by_link else f"{users.root}/roots/{name}",
    )
    assert (done.status, done.out) == (2, "")
    assert [part for part in PARTS if part in done.err] == []


@pytest.mark.parametrize("action", ["show", "install", "remove"])
def test_a_configuration_with_credentials_is_no_bundle(users: Users, cputune: CommandLine, action: str) -> None:
    """Before: `sudo cputune hook show runc /root/.docker` printed what docker logs in with."""
    users.folder("/roots")
    users.file("/roots/config.json", REGISTRY, mode=0o600)
    done = cputune(Host(), "hook", action, "runc", f"{users.root}/roots")
    assert (done.status, done.out) in ((6, ""), (5, ""))  # 5: the tests are run from what a user can change
    assert [part for part in PARTS if part in done.err] == []
    assert Path(f"{users.root}/roots/config.json").read_text() == REGISTRY


@pytest.mark.parametrize("action", ["show", "install", "remove"])
def test_what_a_users_bundle_links_to_is_neither_shown_nor_written(
    users: Users, cputune: CommandLine, action: str
) -> None:
    """Before: root followed the link, and rewrote what it found."""
    users.folder("/roots")
    secret = Path(f"{users.root}/roots/config.json")
    users.file("/roots/config.json", '{"ociVersion": "1.0.2", "c2VjcmV0": 5}', mode=0o600)
    users.folder(f"{HOME}/bundle", USER)
    users.link(f"{HOME}/bundle/config.json", str(secret))
    before = os.stat(secret)
    done = cputune(Host(), "hook", action, "crun", f"{users.root}{HOME}/bundle")
    assert (done.status, done.out) == (5, "")
    assert "c2VjcmV0" not in done.err
    after = os.stat(secret)
    assert (after.st_ino, after.st_mtime_ns, after.st_uid) == (before.st_ino, before.st_mtime_ns, before.st_uid)
