"""The generated files are those of the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cputune.cli.main import COMMANDS
from cputune.docgen import files as docgen
from tests.support.docs import FILES, PAGES, SOURCES, tool


def test_the_files_in_the_source_tree_are_what_docgen_makes() -> None:
    assert docgen.stale(SOURCES) == [], "run: python -m cputune.docgen"


def test_there_is_a_page_for_every_command_and_for_the_configuration() -> None:
    names = ["cputune.1", *(f"cputune-{name}.1" for name in COMMANDS), "cputune.yaml.5"]
    assert [f"man/man{name[-1]}/{name}" for name in names] == PAGES


@pytest.mark.parametrize("path", FILES)
def test_a_generated_file_says_so_at_its_top(path: str) -> None:
    # zsh demands "#compdef" in the first line.
    first = FILES[path].splitlines()[1 if path.endswith("_cputune") else 0]
    assert docgen.NOTICE in first


def test_stale_missing_and_left_over_files_are_found_and_mended(tmp_path: Path) -> None:
    assert docgen.write(tmp_path) == sorted(FILES)
    assert docgen.stale(tmp_path) == []
    (tmp_path / "man/man1/cputune.1").write_text("old\n")
    (tmp_path / "completions/_cputune").unlink()
    (tmp_path / "man/man1/cputune-gone.1").write_text(f'.\\" {docgen.NOTICE}\n')
    (tmp_path / "man/man1/by-hand.1").write_text("not ours\n")
    expected = ["completions/_cputune", "man/man1/cputune-gone.1", "man/man1/cputune.1"]
    assert docgen.stale(tmp_path) == expected
    assert docgen.write(tmp_path) == expected
    assert docgen.stale(tmp_path) == []
    assert (tmp_path / "man/man1/by-hand.1").exists()


def test_check_lists_the_stale_files_and_changes_nothing(tmp_path: Path) -> None:
    docgen.write(tmp_path)
    assert called(tmp_path) == (0, "")
    page = tmp_path / "man/man1/cputune-set.1"
    page.write_text("old\n")
    assert called(tmp_path) == (1, "stale: man/man1/cputune-set.1\n")
    assert page.read_text() == "old\n"


def called(root: Path) -> tuple[int, str]:
    """`python -m cputune.docgen --check ROOT`, in a narrow terminal."""
    argv = [sys.executable, "-m", "cputune.docgen", "--check", str(root)]
    done = subprocess.run(
        argv, cwd=SOURCES, env={**os.environ, "COLUMNS": "20"}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(("shell", "path"), [("zsh", "completions/_cputune"), ("fish", "completions/cputune.fish")])
def test_the_other_completions_are_good_syntax(shell: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(FILES[path])
    argv = [tool(shell), "-n", str(tmp_path / "script")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
