"""The pages are good roff."""

from __future__ import annotations

import subprocess

import pytest

from cputune.docgen import roff
from tests.support.docs import FILES, PAGES, tool

REQUESTS = {
    '.\\"', ".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".SY", ".YS", ".RS", ".RE", ".EX", ".EE",
}  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_roff_without_a_warning(path: str) -> None:
    argv = [tool("groff"), "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(argv, input=FILES[path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_mistake_that_mandoc_knows(path: str) -> None:
    argv = [tool("mandoc"), "-T", "lint", "-W", "warning"]
    done = subprocess.run(argv, input=FILES[path], capture_output=True, text=True, check=False)
    # Without a date on purpose: a page changes when its text does.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_terminal_of_80_columns_but_for_lines_to_paste(path: str) -> None:
    argv = [tool("groff"), "-man", "-Tascii", "-P-c", "-P-b", "-P-u", "-rLL=80n"]
    done = subprocess.run(argv, input=FILES[path], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) > 30
    assert [line for line in lines if len(line) > 80 and not line.strip().startswith("cputune ")] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_ascii_and_no_paragraph_begins_with_a_dot_by_chance(path: str) -> None:
    assert FILES[path].isascii()
    requests = {line.split()[0] for line in FILES[path].splitlines() if line[0] in ".'"}
    assert requests <= REQUESTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--dry-run writes `a -b`.", r"\fB\-\-dry\-run\fR writes \fBa \-b\fR."),
        (".profile and a\\b", r"\&.profile and a\eb"),
        ("*NAME* of virsh(1)", r"\fINAME\fR of \fBvirsh\fR(1)"),
        ("One. Two.", "One.\nTwo."),
        ("`it's` isn't", r"\fBit\(aqs\fR isn't"),
        ("µ", r"\[u00B5]"),
    ],
)
def test_prose_becomes_roff(text: str, expected: str) -> None:
    assert roff.prose(text) == expected
