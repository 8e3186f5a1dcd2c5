"""Every recorded host: where its cpu controller is, which domains it has and where, and what names mean on it."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cputune.core.errors import Ambiguous, CpuTuneError, NoSuchDomain, Unsupported, UsageError
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.registry import RUNTIMES
from tests.support.commandline import STATUS, CommandLine
from tests.support.finding import refused
from tests.support.hostile import damaged, explained, one_host, texts
from tests.support.hosts import MOUNT, Scratch, lay_out, read


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A host with a domain of every runtime."""
    return lay_out(read("debian13-runtimes"), tmp_path_factory.mktemp("host"))


@settings(parent=one_host, max_examples=250)
@given(st.data())
def test_any_record_of_a_runtime_may_be_anything(
    everything: Scratch, cputune: CommandLine, data: st.DataObject
) -> None:
    cgroups = Cgroups(everything.host)
    names = [domain.qualified for domain in lookup.domains(cgroups)]
    folders = ("run", "var", "etc", "home")
    files = sorted(file for name in folders for file in everything.path(f"/{name}").rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    file.write_bytes(damaged(before, data))
    try:
        name = data.draw(st.sampled_from(names))
        explained(cputune(everything.host, "status"))
        explained(cputune(everything.host, "status", name))
        explained(cputune(everything.host, "schedinfo", name.partition(":")[2]))
        explained(cputune(everything.host, "set", name, "--quota", "50000", "--dry-run"))
    finally:
        file.write_bytes(before)


@settings(parent=one_host, max_examples=300)
@given(st.data(), texts | st.text(min_size=4000, max_size=5000).map(lambda text: text[:5]) | st.just("x" * 4097))
def test_any_name_is_looked_for_or_refused(
    everything: Scratch, cputune: CommandLine, data: st.DataObject, name: str
) -> None:
    name = name.replace("\udcff", "?") if data.draw(st.booleans()) else name
    prefix = data.draw(st.sampled_from(["", *(f"{runtime}:" for runtime in RUNTIMES)]))
    command = data.draw(st.sampled_from(["status", "schedinfo", "set", "apply", "undo", "history"]))
    options = {"set": ("--quota", "50000", "--dry-run"), "apply": ("--dry-run",), "undo": ("--dry-run",)}
    words = (*options.get(command, ()), "--", prefix + name)
    explained(cputune(everything.host, command, *words))


def test_random_bytes_everywhere_at_once(everything: Scratch, cputune: CommandLine) -> None:
    """All records of all runtimes damaged together."""
    generator = random.Random(7)
    files = [file for name in ("run", "var", "home") for file in everything.path(f"/{name}").rglob("*")]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    try:
        for _ in range(20):
            for file, text in before.items():
                file.write_bytes(
                    bytes(generator.choices(range(256), k=20)) + text[generator.randrange(len(text) + 1) :]
                )
            explained(cputune(everything.host, "status"))
    finally:
        for file, text in before.items():
            file.write_bytes(text)


@pytest.mark.parametrize(("pid", "gone"), [(438, "libvirt:mydom"), (742, "lxc:mydom"), (718, "nspawn:mydom")])
def test_a_domain_outside_the_mount_does_not_end_the_list(
    scratch: Scratch, cgroups: Cgroups, pid: int, gone: str
) -> None:
    before = list(lookup.domains(cgroups))
    scratch.file(f"/proc/{pid}/cgroup", "0::/../elsewhere\n")
    found = list(lookup.domains(cgroups))  # with the units that were its own
    assert [domain for domain in found if domain in before] == [domain for domain in before if domain.qualified != gone]
    with pytest.raises(Unsupported) as caught:
        lookup.find(cgroups, gone)
    assert caught.value.message == "cgroup /../elsewhere is outside this cgroup namespace"


def test_a_name_is_split_at_a_known_runtime_only() -> None:
    assert lookup.split("lxc:web") == ("lxc", "web")
    assert lookup.split("lxc:a:b") == ("lxc", "a:b")
    assert lookup.split("a:b") == (None, "a:b")
    assert lookup.split("web") == (None, "web")
    assert lookup.split(":web") == (None, ":web")
    assert lookup.split("LXC:web") == (None, "LXC:web")


@pytest.mark.parametrize("name", ["", "lxc:", "systemd:", "cgroup:"])
def test_no_name(cgroups: Cgroups, name: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is UsageError
    assert (error.message, error.hint) == ("the name of the domain is empty", STATUS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\0b", "a\\x00b"), ("lxc:a\nb", "lxc:a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("x" * 5000, "x" * 60)],
)
def test_what_can_be_no_name(cgroups: Cgroups, name: str, shown: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is UsageError
    assert error.message == f"{shown}: not a name: too long, or with control characters"


@pytest.mark.parametrize(
    "name",
    ["nosuch", "lxc:nosuch", "..", ".", "lxc:..", "libvirt:..", "nspawn:..", "systemd:..", "run:..", "lxc:../mydom",
     "libvirt:../lxc/mydom", "nspawn:../machines/mydom", "a/b", "lxc:mydom/..", "systemd:../mydom.service",
     "systemd:a/../mydom.service", "run:../lock", "x" * 300, "lxc:" + "x" * 300, "ü", "docker:mydom", "lxc:mydom ",
     "mydom.SERVICE", "libvirt:6433a6ff", "libvirt:-438", "libvirt:driver"],
)  # fmt: skip
def test_what_nobody_knows(cgroups: Cgroups, name: str) -> None:
    error = refused(cgroups, name)
    assert type(error) is NoSuchDomain
    shown = name if name != "systemd:.." else "systemd:.."
    assert (error.message, error.hint) == (f"no domain {shown}", STATUS)


def test_a_broken_byte_is_shown_as_an_escape(cgroups: Cgroups) -> None:
    assert refused(cgroups, "lxc:\udcff").message == "no domain lxc:\\udcff"


def test_a_name_that_more_than_one_runtime_knows(cgroups: Cgroups) -> None:
    error = refused(cgroups, "mydom")
    assert type(error) is Ambiguous
    assert (
        error.message
        == "mydom is the name of more than one domain: libvirt:mydom, lxc:mydom, incus:mydom, nspawn:mydom"
    )
    assert error.hint == "name one of them as it is here"


PIECES = ("..", ".", "/", "mydom", "system.slice", "\\x2d", " ", "*", "[", "ü", "-", "1000", "\0")
NAMES = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30).map(os.fsdecode),
    st.builds(
        "{}:{}".format,
        st.sampled_from(tuple(RUNTIMES)),
        st.lists(st.sampled_from(PIECES)).map("".join),
    ),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)
@given(NAMES)
@example("cgroup://../..//")
@example("cgroup:/sys/fs/cgroup/../../../etc")
@example("systemd:/")
@example("systemd:-.slice")
@example("systemd:a--b.slice")
def test_no_name_leads_outside_or_is_an_unexpected_error(cgroups: Cgroups, name: str) -> None:
    for directory in directories(cgroups, name):
        assert f"{os.path.normpath(directory)}/".startswith(f"{MOUNT}/")


def directories(cgroups: Cgroups, name: str) -> list[str]:
    """Where a domain's cgroups are; none for a name that is refused. Any other error is a failure."""
    try:
        return list(map(cgroups.directory, lookup.find(cgroups, name).cgroups))
    except CpuTuneError:
        return []
