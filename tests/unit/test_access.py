"""Who reads what: files that others can own are read through `host.foreign` alone, and programs run through `host`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cputune

PACKAGE = Path(cputune.__file__).parent

OWN = {
    "app/launcher.py": "starts the command of `cputune run`, as its caller",
    "app/observer.py": "whether there are configurations of cputune's",
    "config/store.py": "configurations of cputune's",
    "core": "no I/O",
    "docgen": "not part of what is installed",
    "guard/config_cache.py": "configurations of cputune's",
    "guard/discovery.py": "configurations and records of cputune's",
    "guard/hooks": "files of root's that hooks are installed in; each is checked before",
    "guard/program.py": "the program of cputune's, once it is known that only root can change it",
    "guard/tree.py": "the cgroup file system",
    "guard/unit.py": "units of cputune's",
    "host": "the mechanisms themselves",
    "runtimes/cgroup.py": "the cgroup file system",
    "runtimes/oci_scale.py": "programs in directories of the system's, and what cputune has noted of them",
    "runtimes/run.py": "records of cputune's",
    "transaction": "the journal, records, history and locks of cputune's",
}
"""By module or folder: what it opens by itself, which is cputune's own or the kernel's."""
OPENING = {"open", "listdir", "scandir", "walk", "stat", "lstat", "readlink", "posix_spawn", "system", "fork", "execvp"}
OF_PATH = {"exists", "lexists", "isfile", "isdir", "islink", "realpath"}
OF_HOST = {"read", "read_or_none", "names", "exists", "is_dir", "children", "link", "lines", "owner", "status", "write"}
KERNELS = ("/proc", "/sys/", "/run/systemd/system")
"""Where paths begin that no user can put a file at; systemd's directory is a sign that it runs."""


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def is_own(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}/") for one in OWN)


def opened_directly(tree: ast.AST) -> list[int]:
    """The lines in which a module opens, lists or starts something without `host`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if {"subprocess", "pathlib", "glob", "shutil"} & {name.partition(".")[0] for name in names}:
                found.append(node.lineno)
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        last = function.rpartition(".")[2]
        if function == "open" or (function == f"os.{last}" and last in OPENING):
            found.append(node.lineno)
        if function == f"os.path.{last}" and last in OF_PATH:
            found.append(node.lineno)
    return found


def read_as_kernels(tree: ast.AST) -> list[tuple[int, str]]:
    """The calls of `host` that are for the kernel's files: line, and path as it is written there."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OF_HOST:
            of = ast.unparse(node.func.value)
            if of == "host" or of.endswith((".host", "._host")):
                found.append((node.lineno, ast.unparse(node.args[0]) if node.args else ""))
    return found


@pytest.mark.parametrize("path", [path for path in sources() if not is_own(name_of(path))], ids=name_of)
def test_it_opens_nothing_by_itself(path: Path) -> None:
    assert opened_directly(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", [path for path in sources() if not is_own(name_of(path))], ids=name_of)
def test_what_it_reads_as_the_kernels_is_the_kernels(path: Path) -> None:
    for line, argument in read_as_kernels(ast.parse(path.read_text())):
        literal = argument.removeprefix("f").strip("'\"")
        of_cgroups = "director" in argument or "mount" in argument or argument.startswith(("tree +", "file"))
        assert literal.startswith(KERNELS) or of_cgroups, f"line {line}: {argument}"


def test_every_exception_is_one() -> None:
    """What is in the table opens something itself, and is there."""
    for name in OWN:
        paths = [PACKAGE / name] if name.endswith(".py") else sorted((PACKAGE / name).rglob("*.py"))
        assert paths, name
        if name != "core":
            assert any(opened_directly(ast.parse(path.read_text())) for path in paths), name


@pytest.mark.parametrize(
    "text",
    [
        "open(path)",
        "os.open(path, 0)",
        "os.path.isfile(x)",
        "import subprocess",
        "from pathlib import Path",
        "os.stat(x)",
    ],
)
def test_such_a_line_is_found(text: str) -> None:
    assert opened_directly(ast.parse(text)) == [1]
