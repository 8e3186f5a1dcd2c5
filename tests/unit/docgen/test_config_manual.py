"""The page of the configuration."""

from __future__ import annotations

import re

import pytest

from cputune.config.schema import parse
from cputune.config.store import Store
from cputune.core.errors import UsageError
from cputune.core.knobs import KNOBS
from cputune.core.model import Change, Domain
from cputune.docgen import config_manual, roff
from cputune.host.system import CONFIG_DIR, Host
from tests.support.docs import section

CONFIG_PAGE = "man/man5/cputune.yaml.5"


def example_in_the_page() -> str:
    """The example, taken out of the page."""
    lines = section(CONFIG_PAGE, "EXAMPLE").partition(".EX\n")[2].partition("\n.EE")[0]
    return lines.replace(r"\-", "-") + "\n"


def test_the_example_configuration_is_one() -> None:
    saved = parse("example.yaml", example_in_the_page())
    assert saved.change == Change(shares=512, period=100000, quota=50000, burst=20000)
    assert saved.domain == "lxc:web"


@pytest.mark.parametrize("key", ["version", "domain", *(knob.key for knob in KNOBS)])
def test_every_key_is_in_the_page(key: str) -> None:
    assert f".TP\n{roff.bold(f'{key}:')} " in section(CONFIG_PAGE, "KEYS")


def test_the_page_names_files_as_the_store_does() -> None:
    store, names = Store(Host("/")), section(CONFIG_PAGE, "FILE NAMES")
    for runtime, name in config_manual.NAME_EXAMPLES:
        path = store.path(Domain(runtime, name, running=False, persistent=True))
        row = rf"^{re.escape(f'{runtime}:{name}')} +{re.escape(path.removeprefix(f'{CONFIG_DIR}/domains/'))}$"
        assert re.search(row, names.replace(r"\&", ""), re.MULTILINE), path


@pytest.mark.parametrize("word", ["5_000", "010", "50 ms", '"5000"', "0", "999"])
def test_a_number_that_the_page_calls_wrong_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=r"^example\.yaml:2:8: quota is not in range: "):
        parse("example.yaml", f"version: 1\nquota: {word}\n")


@pytest.mark.parametrize(
    "lines", ["shares: 512\nweight: 50", "quota: 5000\nburst: 5001", "quota: 5000\ncpus: 1", "limit: 1", "idle: 1"]
)
def test_what_else_the_page_calls_wrong_is_refused(lines: str) -> None:
    with pytest.raises(UsageError):
        parse("example.yaml", f"version: 1\n{lines}\n")
