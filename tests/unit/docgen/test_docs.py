"""The manual and the completions are what the commands are; the manual is complete, and good roff."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cputune.cli.main import COMMANDS, cli
from cputune.config.schema import parse
from cputune.config.store import Store
from cputune.core.errors import Exit, UsageError
from cputune.core.knobs import KNOBS, Knob
from cputune.core.model import Change, Domain
from cputune.docgen import config_manual, roff, tree
from cputune.docgen import files as docgen
from cputune.host.system import CONFIG_DIR, STATE_DIR, Host
from cputune.runtimes.registry import RUNTIMES, Runtime
from tests.support.machine import give_up

SOURCES = Path(__file__).resolve().parents[3]
FILES = docgen.render()
README = (SOURCES / "README.md").read_text()
PAGES = [path for path in FILES if path.startswith("man/")]
SECTIONS = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "DOMAINS", "OPTIONS", "COMMANDS", "LIVE AND CONFIG", "PARAMETERS",
    "THE GUARD", "TRANSACTIONS", "RIGHTS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO",
]  # fmt: skip
REQUESTS = {
    '.\\"', ".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".SY", ".YS", ".RS", ".RE", ".EX", ".EE",
}  # fmt: skip


def tool(name: str) -> str:
    """The path of a program."""
    return shutil.which(name) or give_up(f"{name} is not installed")


def rendered(path: str) -> str:
    """A page as a person reads it, on one line: without roff's escapes, and without regard to its lines."""
    text = re.sub(r"\\f[BIRP]|\\&", "", FILES[path]).replace(r"\(aq", "'")
    return " ".join(re.sub(r"\\ |\n(\.\w+ ?)*", " ", text).replace(r"\-", "-").replace(r"\e", "\\").split())


def section(path: str, title: str) -> str:
    """One section of a page, with its roff."""
    return FILES[path].partition(f"\n.SH {title}\n")[2].partition("\n.SH ")[0]


def click_command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command
    return command


def page_of(name: str) -> str:
    return f"man/man1/cputune-{name}.1" if name else "man/man1/cputune.1"


# --- generated files are those of the commands ------------------------------------------------------------------------


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


# --- what is in them --------------------------------------------------------------------------------------------------


def test_cputune_1_has_its_sections() -> None:
    assert re.findall(r"^\.SH (.+)$", FILES["man/man1/cputune.1"], re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_cputune_1(name: str) -> None:
    page = page_of("")
    assert rf"\fBcputune {name}\fR" in section(page, "COMMANDS")
    assert rf"\fBcputune\-{name}\fR(1)" in section(page, "SEE ALSO")
    assert f"cputune {name}" in section(page, "EXAMPLES")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_a_summary_and_lines_to_try(name: str) -> None:
    command = click_command(name)
    assert (command.help or "").strip()
    assert (command.short_help or "").endswith(".")
    assert (command.epilog or "").startswith("\b\nTry: cputune ")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_says_of_itself_is_in_its_page(name: str) -> None:
    command, page = click_command(name), rendered(page_of(name))
    for paragraph in (command.help or "").split("\n\n"):
        assert " ".join(paragraph.replace("`", "").split()) in page
    for line in (command.epilog or "").replace("\b", "").replace("Try:", "").split("\n"):
        assert " ".join(line.split()) in page


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_option_has_a_help_text_and_is_in_the_page(name: str) -> None:
    command = click_command(name) if name else cli
    options, synopsis = section(page_of(name), "OPTIONS"), section(page_of(name), "SYNOPSIS")
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help
            assert " ".join(param.help.replace("`", "").split()) in rendered(page_of(name))
            for option in (*param.opts, *param.secondary_opts):
                assert roff.bold(option) in synopsis
                assert re.search(rf"^\.TP\n.*{re.escape(roff.bold(option))}", options, re.MULTILINE), option


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_cputune_takes(name: str) -> None:
    _, commands = tree.read()
    examples = next(command.examples for command in commands if command.name == name)
    assert examples
    for example in examples:
        program, command, *words = shlex.split(example, comments=True)
        assert program == "cputune"
        assert click_command(command).make_context(command, words, resilient_parsing=False).args == []


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_every_runtime_is_explained(runtime: Runtime) -> None:
    heads = [
        re.sub(r"\\f.", "", head).replace(r"\-", "-")
        for head in re.findall(r"\.TP\n(.*)", section(page_of(""), "DOMAINS"))
    ]
    assert ", ".join(runtime.forms) in heads
    assert re.sub(r"[*`]", "", runtime.about) in rendered(page_of(""))


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_the_table_in_the_readme_has_every_form_of_a_name(runtime: Runtime) -> None:
    forms = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)))
    assert [form for form in runtime.forms if form not in forms] == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_is_in_the_help(runtime: str) -> None:
    listed = re.search(r"Runtimes: ([^.]*)\.", " ".join((cli.help or "").split()))
    assert listed
    assert runtime in listed[1].split(", ")


@pytest.mark.parametrize("code", Exit)
def test_every_exit_status_is_in_the_manual(code: Exit) -> None:
    assert f".TP\n{roff.bold(str(int(code)))}\n" in section(page_of(""), "EXIT STATUS")


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.key)
def test_every_parameter_is_in_the_manual_with_its_range(knob: Knob) -> None:
    names = roff.bold(knob.option) + (f", {roff.bold(knob.virsh)}" if knob.virsh else "")
    text = section(page_of(""), "PARAMETERS").partition(f".TP\n{names}\n")[2].partition("\n.")[0]
    assert " ".join(text.split()).endswith(f"[{knob.range}]")


def test_every_environment_variable_that_the_code_reads_is_in_the_manual() -> None:
    code = "".join(path.read_text() for path in (SOURCES / "cputune").rglob("*.py") if path.parent.name != "docgen")
    found = set(re.findall(r'"(CPUTUNE_[A-Z_]+)"', code))
    assert {"CPUTUNE_ROOT", "CPUTUNE_DEBUG"} <= found
    assert [name for name in sorted(found) if roff.bold(name) not in section(page_of(""), "ENVIRONMENT")] == []


@pytest.mark.parametrize("folder", [f"{CONFIG_DIR}/domains", STATE_DIR])
def test_the_directories_are_in_the_manual(folder: str) -> None:
    assert f"{folder}/" in section(page_of(""), "FILES")


# --- the page of the configuration ------------------------------------------------------------------------------------

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
    with pytest.raises(UsageError, match=r"^example\.yaml:2: quota: .* is not in range: "):
        parse("example.yaml", f"version: 1\nquota: {word}\n")


@pytest.mark.parametrize(
    "lines", ["shares: 512\nweight: 50", "quota: 5000\nburst: 5001", "quota: 5000\ncpus: 1", "limit: 1", "idle: 1"]
)
def test_what_else_the_page_calls_wrong_is_refused(lines: str) -> None:
    with pytest.raises(UsageError):
        parse("example.yaml", f"version: 1\n{lines}\n")


# --- form -------------------------------------------------------------------------------------------------------------


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


def test_the_completion_for_bash_pleases_shellcheck() -> None:
    argv = [tool("shellcheck"), "-"]
    done = subprocess.run(argv, input=FILES["completions/cputune.bash"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("shell", "path"), [("zsh", "completions/_cputune"), ("fish", "completions/cputune.fish")])
def test_the_other_completions_are_good_syntax(shell: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(FILES[path])
    argv = [tool(shell), "-n", str(tmp_path / "script")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_option_must_take_a_value_in_all_commands_or_in_none() -> None:
    top, commands = tree.read()
    odd = commands[0]._replace(options=(tree.Option(("--root",), "A flag of the same name."),))
    with pytest.raises(ValueError, match=r"^with a value in one command and a flag in another: --root$"):
        tree.options_with_value(top, [odd])
