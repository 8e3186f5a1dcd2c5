"""What a file contains is not told to whoever may only name it, or who lists what others have made.

A secret is put into every place of a file that cputune can be made to read, and must not be in what it says: neither
the secret nor a part of it. A new way to name a file belongs into `WAYS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cputune.config.bundle import read_many
from cputune.core.errors import CpuTuneError
from cputune.host.system import Host
from tests.support.commandline import CommandLine, Ended
from tests.support.fakekernel import FakeKernel
from tests.support.hooks import CALL
from tests.support.hostile import one_host

SECRETS = ("Zq7XvJ3kWb", "ŵẑŷŝ", "5173926408")
"""Of letters, of letters whose escapes would tell them, and a number."""
DOCUMENTS = "---\nversion: 1 # half\ndomain: lxc:web\nquota: 50000\n---\nversion: 1\ndomain: 'lxc:db'\nidle: false\n"
BASES = (
    DOCUMENTS,
    "version: 1\ndomain: lxc:web\ncpus: 1.5\nperiod: 50ms\nburst: 7ms\n",
    "{version: 1, domain: lxc:web, quota: 50000}\n",
    "root:$6$salt$hash:19000:0:99999:7:::\n",
    "-----BEGIN KEY-----\nabcd\n",
    '{"ociVersion": "1.0.2", "hooks": {"createRuntime": [{"path": "/bin/x", "args": ["x"]}]}}\n',
    "lxc.uts.name = web\nlxc.hook.start-host = /bin/x\n",
    "50000 100000\n",
    "",
)
AROUND = (
    ("", ""), ("*", ""), ("&", " x"), ("!", " x"), ("!!", ""), ("!", "!x y"), ("%", "\n"),
    ("%TAG !", "! x\n---\n"), ("%YAML ", "\n"),
    ('"\\', '"'), ('"\\x', '"'), ("\n", ": 5\n"), ("\nquota: ", "\n"), ("\nburst: ", "\n"), ("\ncpus: ", "\n"),
    ("\nversion: ", "\n"), ("\nperiod: ", "\n"), ("'", "'"), ("[", "]"), ("? ", ""), ("\t", ""), ("\0", ""), ("@", ""),
    ("`", ""), ('"', '": 1,'), ("|", ""), ("quota", ": 1\n"),
)  # fmt: skip
"""What makes a parser look at it in another way."""


@st.composite
def with_a_secret(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a secret, and the text of a file with it."""
    secret, base, (before, after) = draw(
        st.tuples(st.sampled_from(SECRETS), st.sampled_from(BASES), st.sampled_from(AROUND))
    )
    at = draw(st.integers(0, len(base)))
    return secret, base[:at] + before + secret + after + base[at:]


def told(secret: str, said: str) -> list[str]:
    """Return the parts of a secret that were said, as they are or escaped."""
    if secret.isascii():
        parts = [secret[at : at + 4] for at in range(len(secret) - 3)]
    else:
        parts = [form for letter in secret for form in (letter, f"{ord(letter):04x}", ascii(letter).strip("'"))]
    return [part for part in parts if part.lower() in said.lower()]


class Way(NamedTuple):
    """How a file gets in front of cputune."""

    path: Callable[[FakeKernel], str]
    commands: tuple[tuple[str, ...], ...]
    """{} is the file, [] its directory; "<" in front means that it is standard input."""


WAYS = {
    "file": Way(
        lambda host: f"{host.root}/limits",
        (
            ("apply", "--file", "{}"), ("apply", "--file", "{}", "--live", "--dry-run"),
            ("apply", "-q", "--file", "{}"), ("apply", "--file", "{}", "--keep-going", "--json"),
            ("import", "{}"), ("import", "{}", "--dry-run"), ("import", "--replace", "{}", "--json"),
            ("<", "apply", "--file", "-"), ("<", "import", "-"),
        ),
    ),
    "saved": Way(
        lambda host: f"{host.config_dir}/domains/lxc/web.yaml",
        (
            ("apply",), ("apply", "lxc:web"), ("schedinfo", "lxc:web", "--config"), ("status",), ("status", "lxc:web"),
            ("status", "--config"), ("diff",), ("diff", "lxc:web"), ("set", "lxc:web", "--quota", "60000", "--config"),
            ("forget", "lxc:web", "--dry-run"), ("export", "lxc:db"), ("hook", "run", "systemd", "lxc:web"),
        ),
    ),
    "limit": Way(
        lambda host: f"{host.root}/sys/fs/cgroup/lxc.payload.web/cpu.max",
        (("schedinfo", "lxc:web"), ("status",), ("diff",), ("set", "lxc:web", "--period", "50000", "--live")),
    ),
    "weight": Way(
        lambda host: f"{host.root}/sys/fs/cgroup/lxc.payload.web/cpu.weight",
        (("schedinfo", "lxc:web"), ("status",), ("diff",), ("set", "lxc:web", "--weight", "50", "--live")),
    ),
    "bundle": Way(
        lambda host: f"{host.root}/bundle/config.json",
        (("hook", "show", "crun", "[]"), ("hook", "install", "crun", "[]"), ("hook", "remove", "crun", "[]")),
    ),
}  # fmt: skip


def run_all(host: FakeKernel, cputune: CommandLine, way: Way, text: str) -> Iterator[tuple[tuple[str, ...], Ended]]:
    """Run the commands on a file with this text."""
    path = Path(way.path(host))
    path.parent.mkdir(parents=True, exist_ok=True)
    for words in way.commands:
        path.write_text(text)
        if words[0] != "<":
            # Hooks are only for the host itself.
            of = Host() if words[:2] in (("hook", "show"), ("hook", "install"), ("hook", "remove")) else host
            yield words, cputune(of, *(word.format(path).replace("[]", str(path.parent)) for word in words))
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
            yield words, cputune(host, *words[1:])


def is_understood(path: str) -> bool:
    """Return whether all of a file is documents of cputune's: then it says what to do, and what was done is shown."""
    try:
        read_many(path)
    except CpuTuneError:
        return False
    return True


@pytest.mark.parametrize("way", WAYS)
@settings(parent=one_host, max_examples=150)
@given(drawn=with_a_secret())
def test_no_part_of_a_secret_is_told(
    v2: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, way: str, drawn: tuple[str, str]
) -> None:
    monkeypatch.setattr("cputune.guard.hooks.installer.trusted_command", lambda _: CALL)
    secret, text = drawn
    assume(way not in ("limit", "weight") or not secret.isdigit())  # a number there is a limit, which is shown
    path = Path(WAYS[way].path(v2))
    before = path.read_text() if path.exists() else None
    for words, ended in run_all(v2, cputune, WAYS[way], text):
        path.write_text(text)
        if way != "file" or not is_understood(str(path)):
            assert told(secret, ended.out + ended.err) == [], (words, ended)
    path.unlink() if before is None else path.write_text(before)


@pytest.mark.parametrize("before", ["", "version: 1\n", "version: 1\nquota: "])
@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_secret_is_told_where_it_matters_to_the_parser(
    v2: FakeKernel, cputune: CommandLine, secret: str, before: str
) -> None:
    path = Path(v2.root, "limits.yaml")
    for around in AROUND:
        path.write_text(before + secret.join(around))
        for words in (("apply", "--file", str(path)), ("import", str(path))):
            ended = cputune(v2, *words)
            assert ended.status == 2, (around, ended)
            assert told(secret, ended.out + ended.err) == [], (around, ended)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_part_of_a_secret_would_be_noticed(secret: str) -> None:
    assert told(secret, f"error: unknown key {secret}")
    assert told(secret, f"not YAML: found {secret[:4]!r}")
    assert told(secret, ascii(secret))
    assert not told(secret, "error: cannot read /etc/cputune: Permission denied 100000 17592186044415")
