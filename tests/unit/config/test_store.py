"""The saved configuration: read strictly, changed in place, and never anything in between."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cputune.config.schema import Saved, edited
from cputune.config.store import Store
from cputune.core import names as names_of_domains
from cputune.core.errors import CpuTuneError, NoPermission, UsageError
from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change
from cputune.host.system import Host
from tests.support.saved import HEAD, WEB, configuration_or_mistake, put, saved


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Host("/", str(tmp_path / "config"), str(tmp_path / "state")))


# --- reading ----------------------------------------------------------------------------------------------------------


@given(st.binary())
def test_any_bytes_too(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = Store(Host("/", str(tmp_path_factory.getbasetemp() / "any"), "/nowhere"))
    path = put(store, data)
    found = configuration_or_mistake(lambda: store.load(WEB))
    assert found.startswith(f"{path}:") if isinstance(found, str) else found.path == str(path)


def test_not_utf_8(store: Store) -> None:
    path = put(store, HEAD.encode() + b"# caf\xe9\n")
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert (caught.value.message, caught.value.hint) == (f"{path}:3:6: not UTF-8", f"$EDITOR {path}")


def test_a_file_that_is_too_large(store: Store) -> None:
    path = put(store, HEAD + "# " + "x" * 65536)
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert caught.value.message == f"{path}: larger than 65536 bytes, which no configuration of a domain is"
    assert caught.value.hint == f"ls -l {path}"


def test_no_file_is_an_empty_configuration(store: Store) -> None:
    assert store.load(WEB) == Saved(store.path(WEB), "", Change())


def test_a_file_of_another_domain(store: Store) -> None:
    path = put(store, "version: 1\ndomain: lxc:db\n")
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert caught.value.message == f"{path}: the key domain is not lxc:web, whose file this is"
    assert caught.value.hint == f"$EDITOR {path}"


def test_a_symbolic_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    path = put(store, HEAD)
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(CpuTuneError) as caught:
        store.load(WEB)
    assert caught.value.message == f"cannot read {path}: it is a symbolic link, which is not followed"


def test_a_directory_in_place_of_a_file(store: Store) -> None:
    os.makedirs(store.path(WEB))
    with pytest.raises(CpuTuneError) as caught:
        store.load(WEB)
    assert caught.value.message == f"cannot read {store.path(WEB)}: Is a directory"


# --- writing ----------------------------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Whether the command line takes it as a name."""
    try:
        return names_of_domains.check(text) == text
    except UsageError:
        return False


def test_a_new_file(store: Store) -> None:
    change = Change(shares=512, quota=UNLIMITED, idle=False)
    assert saved(store, change) == 'version: 1\ndomain: "lxc:web"\nshares: 512\nquota: unlimited\nidle: false\n'
    path = Path(store.path(WEB))
    assert path == Path(store.directory) / "lxc/web.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert store.load(WEB).change == change


names = (st.text(min_size=1, max_size=300) | st.binary(min_size=1, max_size=300).map(os.fsdecode)).filter(is_name)


@given(names, st.integers(2, 262144))
@example("a: b # c", 5)
@example("\\x2d", 5)
@example('"quoted"', 5)
@example("x" * 300, 5)
@example("\U0001f600", 5)
@example("\U0001f600" * 200, 5)
@example("\u2028\x85\ufeff" * 100, 5)
@example(os.fsdecode(b"\xff" * 300), 5)
def test_every_name_can_be_saved_and_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, name: str, shares: int
) -> None:
    root = tmp_path_factory.mktemp("names")
    store = Store(Host("/", str(root), "/nowhere"))
    domain = WEB._replace(name=name)
    saved(store, Change(shares=shares), domain)
    assert store.load(domain).change == Change(shares=shares)
    assert list(store.names()) == [(f"lxc:{name}", store.path(domain))]
    assert os.path.dirname(store.path(domain)) == f"{root}/domains/lxc"


BY_HAND = """\
# the web server of team x

version:   1       # the form
quota : 25000      # half a CPU of the old machine
"period": 50000
  # not indented on purpose
domain: lxc:web
shares:     512
# the end"""


@pytest.fixture
def by_hand(store: Store) -> Iterator[Store]:
    put(store, BY_HAND)
    yield store
    assert [path.name for path in Path(store.path(WEB)).parent.iterdir()] in (["web.yaml"], [])


def test_a_changed_value_keeps_comments_order_and_spacing(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    text = saved(by_hand, before.replace(quota=30000))
    assert text == BY_HAND.replace("quota : 25000      #", "quota: 30000      #") + "\n"


def test_an_added_key_comes_last(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    assert saved(by_hand, before.replace(burst=1000)) == f"{BY_HAND}\nburst: 1000\n"


def test_a_removed_key_takes_only_its_line(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    assert saved(by_hand, before.replace(period=None)) == BY_HAND.replace('"period": 50000\n', "") + "\n"


def test_a_limit_in_another_unit_takes_the_place_of_the_one_that_was_there(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    text = saved(by_hand, before.updated(Change(cpus=1_500_000)))
    assert text == BY_HAND.replace("quota : 25000      # half a CPU of the old machine\n", "") + "\ncpus: 1.5\n"
    assert saved(by_hand, by_hand.load(WEB).change.updated(Change(quota=25000))) == (
        text.replace("cpus: 1.5\n", "quota: 25000\n")
    )


def test_a_value_stays_in_the_unit_that_it_was_written_in(store: Store) -> None:
    text = "version: 1\ncpus: 150% # of one\nperiod: 50ms\nburst: 1ms\n"
    put(store, text)
    before = store.load(WEB).change
    assert before == Change(cpus=1_500_000, period=50000, burst=1000)
    assert saved(store, before.replace(burst=2000)) == text.replace("1ms", "2000")


def test_what_does_not_change_is_not_rewritten(by_hand: Store) -> None:
    before = by_hand.load(WEB)
    assert edited(before, "lxc:web", before.change) == f"{BY_HAND}\n"


def test_the_last_key_takes_the_file_with_it(by_hand: Store) -> None:
    by_hand.save(WEB, by_hand.load(WEB), Change())
    assert not Path(by_hand.path(WEB)).exists()
    by_hand.save(WEB, by_hand.load(WEB), Change())


@pytest.mark.parametrize(
    "text",
    [
        "{version: 1, quota: 25000}\n",
        "version: 1\nquota:\n  25000\n",
        "{version: 1,\nquota: 25000}\n",
        "version: 1\n? quota\n: 25000\n",
        "  version: 1\n  quota: 25000\n",
        "version: 1\nquota: 25000\n...\n",
    ],
)
def test_a_form_that_editing_by_lines_would_break_is_refused_and_kept(store: Store, text: str) -> None:
    path = put(store, text)
    before = store.load(WEB)
    with pytest.raises(UsageError) as caught:
        store.save(WEB, before, before.change.replace(quota=30000, burst=5))
    assert caught.value.message == (
        f"{path}: not written as one `key: value` a line, so it cannot be edited without losing its layout"
    )
    assert caught.value.hint == f"$EDITOR {path}"
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(quota=6000, period=50000), "version: 1\r\n# c\r\nquota: 6000 # q\r\nperiod: 50000\r\n"),
        (Change(quota=5000), "version: 1\r\n# c\r\nquota: 5000 # q\r\n"),
        (
            Change(quota=5000, period=50000, burst=7),
            "version: 1\r\n# c\r\nquota: 5000 # q\r\nperiod: 50000\r\nburst: 7\r\n",
        ),
    ],
)
def test_the_ends_of_lines_stay(store: Store, change: Change, expected: str) -> None:
    path = put(store, "version: 1\r\n# c\r\nquota: 5000 # q\r\nperiod: 50000\r\n")
    store.save(WEB, store.load(WEB), change)
    assert path.read_bytes() == expected.encode()


def test_a_disk_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/domains").write_text("a file")
    with pytest.raises(CpuTuneError) as caught:
        store.write(store.path(WEB), "x")
    assert caught.value.message == f"cannot save {store.path(WEB)}: Not a directory"


def test_a_directory_that_may_not_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, text: str, *, sync: bool) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("cputune.config.store.write_atomically", refuse)
    with pytest.raises(NoPermission) as caught:
        store.write(store.path(WEB), "x")
    assert caught.value.message == f"cannot save {store.path(WEB)}: Permission denied"
    assert caught.value.hint == "run it as root: sudo cputune ..."


def test_files_that_are_not_configurations_are_passed_over(store: Store) -> None:
    put(store, HEAD + "shares: 5\n")
    folder = Path(store.path(WEB)).parent
    for name in (".web.yaml.123", "web.yaml~", "README", ".hidden.yaml"):
        (folder / name).write_text("not mine")
    assert list(store.names()) == [("lxc:web", store.path(WEB))]


@pytest.mark.parametrize(
    "text",
    [b"", b"version: 1\nqouta: 5\n", b"\xff", b"[" * 3000 + b"]" * 3000, b"x" * 70000, b"version: 1\ndomain: *a\n"],
)
def test_a_broken_file_with_an_odd_name_is_listed_by_it(store: Store, text: bytes) -> None:
    put(store, HEAD)
    odd = Path(store.directory) / "lxc/a b.yaml"
    odd.write_bytes(text)
    assert list(store.names()) == [("lxc:a b", str(odd)), ("lxc:web", store.path(WEB))]


def test_a_directory_or_a_link_with_an_odd_name_is_listed_by_it(store: Store) -> None:
    folder = Path(store.path(WEB)).parent
    (folder / "a b.yaml").mkdir(parents=True)
    (folder / "c d.yaml").symlink_to("/nonexistent")
    assert list(store.names()) == [(f"lxc:{name}", f"{folder}/{name}.yaml") for name in ("a b", "c d")]
