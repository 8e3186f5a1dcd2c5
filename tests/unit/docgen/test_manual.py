"""The manual is complete."""

from __future__ import annotations

import re

import click
import pytest

from cputune.cli.main import COMMANDS, cli
from cputune.core.errors import Exit
from cputune.core.knobs import KNOBS, Knob
from cputune.docgen import roff
from cputune.guard.unit import GUARD
from cputune.host.system import CONFIG_DIR, STATE_DIR
from cputune.runtimes.registry import RUNTIMES, Runtime
from tests.support.docs import FILES, README, SOURCES, click_command, page_of, rendered, section

SECTIONS = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "DOMAINS", "OPTIONS", "COMMANDS", "LIVE AND CONFIG", "PARAMETERS",
    "THE GUARD", "TRANSACTIONS", "RIGHTS", "SECURITY", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO",
]  # fmt: skip


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


def test_every_capability_of_the_guard_is_in_the_manual() -> None:
    unit = (SOURCES / "cputune/guard/units" / GUARD).read_text()
    capabilities = re.findall(r"CAP_[A-Z_]+", unit.partition("CapabilityBoundingSet=")[2].partition("\n")[0])
    listed = re.search(r"\((CAP_[A-Z_, \n]+)\)", section(page_of(""), "SECURITY"))
    assert listed
    assert "CAP_KILL" in capabilities
    assert sorted(re.findall(r"CAP_[A-Z_]+", listed[1])) == sorted(capabilities)


@pytest.mark.parametrize("option", [option for param in cli.params for option in param.opts if "-dir" in option])
def test_the_options_that_grant_everything_are_in_the_manual(option: str) -> None:
    assert option in section(page_of(""), "SECURITY").replace("\\-", "-")
