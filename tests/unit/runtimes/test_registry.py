"""The rows of the runtimes keep their promises, and nothing else in the package knows a runtime by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import cputune
from cputune.core.model import Scale
from cputune.runtimes.registry import PERSISTENT, QUALIFIED_ONLY, RUNTIMES, Runtime

PACKAGE = Path(cputune.__file__).parent
ROWS = pytest.mark.parametrize("row", RUNTIMES.values(), ids=lambda row: row.name)


def promised(row: Runtime) -> dict[str, bool]:
    """The functions that a runtime's module can have, and whether this one's has."""
    return {
        "find": True,
        "domains": True,
        "of_cgroup": row.persistent,
        "by_prefix": row.ids,
        "ask": row.askable,
        "is_settled": row.settles,
    }


ORDER = [
    "libvirt",
    "lxc",
    "incus",
    "lxd",
    "nspawn",
    "docker",
    "podman",
    "cri",
    "oci",
    "run",
    "systemd",
    "cgroup",
    "pid",
]


def test_the_order_in_which_they_are_asked() -> None:
    assert [name for name in RUNTIMES if name in ORDER] == ORDER
    assert [name for name in ORDER if name not in PERSISTENT] == ["run", "cgroup", "pid"]
    assert [name for name in ORDER if name in QUALIFIED_ONLY] == ["cgroup", "pid"]


@ROWS
def test_a_module_has_the_functions_that_its_row_promises_and_no_others(row: Runtime) -> None:
    module = row.module()
    assert {name: callable(getattr(module, name, None)) for name in promised(row)} == promised(row)


@ROWS
def test_a_native_module_reads_what_is_remembered_and_knows_how_to_change_it(row: Runtime) -> None:
    if row.native:
        module = import_module(f"cputune.runtimes.native.{row.native}")
        assert callable(module.read)
        assert callable(module.plan)


def test_every_module_that_finds_domains_has_a_row_and_every_native_one_is_used() -> None:
    found = {path.stem for path in (PACKAGE / "runtimes").glob("*.py") if defines(path) >= {"find", "domains"}}
    assert found - {"lookup"} <= set(RUNTIMES)
    native = {path.stem for path in (PACKAGE / "runtimes/native").glob("*.py") if defines(path) >= {"read", "plan"}}
    assert native == {row.native for row in RUNTIMES.values()} - {None}


def defines(path: Path) -> set[str]:
    """The functions at the top of a module."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@ROWS
def test_a_row_makes_sense(row: Runtime) -> None:
    assert all(form.startswith(f"{row.name}:") for form in row.forms)
    assert row.about.endswith(".")
    assert not row.oci or row.scale is Scale.KERNEL, "its OCI runtime converts shares, or it does itself"
    assert row.persistent or not (row.native or row.hooks or row.ids), "nothing can be saved for it"


# --- no other module knows one by its name ----------------------------------------------------------------------------

WORDS = {"run", "systemd", "cgroup", "pid"}
"""Names of runtimes that have other meanings, too: they count only where it is clearly a runtime that is meant."""
NAMES = {*RUNTIMES, *(program for row in RUNTIMES.values() for program in row.oci)}
OWN = {
    "runtimes/registry.py",
    *(f"runtimes/{name}.py" for name in RUNTIMES),
    *(f"runtimes/native/{row.native}.py" for row in RUNTIMES.values()),
    "runtimes/oci_container.py",
    "runtimes/oci_scale.py",
    "runtimes/oci_state.py",
    # The command `run`, and what it starts.
    "app/command_cgroup.py",
    "app/launcher.py",
    "cli/commands/run.py",
    # Each hook is one runtime's.
    "guard/hooks/files.py",
    "guard/hooks/hook_file.py",
    "guard/hooks/installer.py",
    "guard/hooks/handler.py",
    # Names of files, as examples.
    "docgen/config_manual.py",
    "docgen/manual.py",
    # The scale of OCI runtimes is called oci.
    "core/model.py",
}
"""The modules of the runtimes."""


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a text names a runtime: as a whole, as RUNTIME:..., as a Domain's, or in a comparison with a runtime."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in NAMES - WORDS:
            yield node.lineno, str(node.value)
        elif isinstance(node, ast.JoinedStr) and (name := prefix(node)):
            yield node.lineno, f"{name}:"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Domain" and node.args:
            yield from named(node.args[0])
        elif isinstance(node, ast.Compare) and any(map(is_runtime, [node.left, *node.comparators])):
            yield from (found for side in [node.left, *node.comparators] for found in named(side))


def prefix(text: ast.JoinedStr) -> str:
    """The runtime that stands before the colon of an f-string; empty for none."""
    first = text.values[0]
    name, colon, _ = str(first.value).partition(":") if isinstance(first, ast.Constant) else ("", "", "")
    return name if colon and name in set(RUNTIMES) - {"cgroup"} else ""  # locks on cgroups are called so, too


def is_runtime(node: ast.expr) -> bool:
    return "runtime" in (getattr(node, "id", ""), getattr(node, "attr", ""))


def named(node: ast.expr) -> Iterator[tuple[int, str]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and inner.value in NAMES:
            yield inner.lineno, str(inner.value)


def test_nothing_but_a_runtimes_own_modules_knows_it_by_its_name() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if where not in OWN:
            found += [f"{where}:{line}: {name}" for line, name in sorted(set(literals(ast.parse(path.read_text()))))]
    assert found == [], "ask its row in cputune.runtimes.registry instead"


@pytest.mark.parametrize(
    "code",
    [
        "if name == 'docker': pass",
        "x = ('podman', 1)",
        "if domain.runtime == 'systemd': pass",
        "if runtime in ('cri', 'systemd'): pass",
        "Domain('pid', name)",
        "find(f'run:{name}')",
        "scale_of(cgroups, 'runc')",
    ],
)
def test_a_name_would_be_found(code: str) -> None:
    assert list(literals(ast.parse(code)))


@pytest.mark.parametrize("code", ["action == 'run'", "x = {'pid': 1}", "f'{runtime}:{name}'", "'cputune set lxc:web'"])
def test_another_meaning_of_the_word_is_none(code: str) -> None:
    assert not list(literals(ast.parse(code)))
