"""The completions, in the real shells at a real terminal: what TAB offers, and what it makes of the line."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cputune.cli.main import COMMANDS, cli
from cputune.core.knobs import KNOBS
from cputune.runtimes.registry import RUNTIMES
from tests.support.machine import give_up
from tests.support.waiting import SECONDS

SOURCES = Path(__file__).resolve().parents[3]
SCRIPTS = {"bash": "cputune.bash", "zsh": "_cputune", "fish": "cputune.fish"}
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

DOMAINS = [
    "lxc:db",
    "lxc:it's",
    "lxc:my web",
    "lxc:odd;$(touch pwned)",
    "lxc:twin",
    "nspawn:twin",
    r"systemd:machine-lxc\x2d438.scope",
    "systemd:machine.slice",
    "systemd:ssh.service",
    "systemd:system.slice",
    "systemd:user@1000.service",
]
CONTAINERS = [name.removeprefix("lxc:") for name in DOMAINS if name.startswith("lxc:")]
BARE = [name.partition(":")[2] for name in DOMAINS if not name.endswith(":twin")]
"""What a name alone can mean; twin is known to two runtimes."""


# --- a host with domains, and shells on it ----------------------------------------------------------------------------


def make_host(root: Path) -> None:
    """A host with systemd on cgroup v2, some units, some LXC containers that do not run, and an image of nspawn."""
    mounted = root / "sys/fs/cgroup"
    units = ("system.slice/ssh.service", "system.slice/user@1000.service", r"machine.slice/machine-lxc\x2d438.scope")
    for unit in units:
        (mounted / unit).mkdir(parents=True)
    for folder in (mounted, *(path for path in mounted.rglob("*") if path.is_dir())):
        (folder / "cgroup.controllers").write_text("cpu\n")
        (folder / "cpu.weight").write_text("100\n")
        (folder / "cpu.max").write_text("max 100000\n")
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/1/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n")
    (root / "run/systemd/system").mkdir(parents=True)
    for name in CONTAINERS:
        (root / "var/lib/lxc" / name).mkdir(parents=True)
        (root / "var/lib/lxc" / name / "config").touch()
    (root / "var/lib/machines/twin").mkdir(parents=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell that sees the fake host, with `cputune` (which tells of calls) and `busywork`."""
    tmp_path = tmp_path_factory.mktemp("completions")
    make_host(tmp_path / "a host")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "cputune": f'echo called >>"$CALLED"\nexec "{sys.executable}" -m cputune "$@"',
        "busywork": ":",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    home = tmp_path / "home"
    (home / "folder/below").mkdir(parents=True)
    (home / "notes.txt").touch()
    return {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]),
        "CPUTUNE_ROOT": str(tmp_path / "a host"),
        "OFFERED": str(tmp_path / "offered"),
        "LINE": str(tmp_path / "line"),
        "CALLED": str(tmp_path / "called"),
    }


def find(shell: str) -> str:
    """The path of a shell."""
    return shutil.which(shell) or give_up(f"{shell} is not installed")


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, argv: list[str], environment: dict[str, str], setup: str) -> None:
        self.packaged = str(BASH_COMPLETION) in setup
        self.offered, self.line = Path(environment["OFFERED"]), Path(environment["LINE"])
        master, slave = pty.openpty()
        # setsid makes the terminal the shell's own, without a fork in a Python that may have threads.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave, stdout=slave, stderr=slave, cwd=environment["HOME"], env=environment,
        )  # fmt: skip
        os.close(slave)
        self.master = master
        self.seen = b""
        self.send(f"{setup}\n")
        self.send('printf "%s-%s\\n" set up\n')
        self.until(lambda: b"set-up" in self.seen)

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, condition: Callable[[], bool]) -> None:
        """Read what the shell prints until something has happened."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.seen.decode(errors="replace")
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)

    def complete(self, text: str) -> tuple[list[str], str]:
        """Type a text and TAB; what is offered, and the line then."""
        for path in (self.offered, self.line):
            path.unlink(missing_ok=True)
        self.send(f"\x15{text}\t\x18l")
        self.until(self.line.exists)
        self.until(lambda: self.line.read_text().endswith("\n"))
        offered = self.offered.read_text().splitlines() if self.offered.exists() else []
        return sorted(filter(None, offered)), self.line.read_text()[:-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture(scope="module", params=["alone", "with bash-completion", "colon is no word break"])
def bash(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Terminal]:
    setup = [f". {SOURCES}/completions/cputune.bash"]
    if request.param == "with bash-completion":
        if not BASH_COMPLETION.exists():
            give_up("bash-completion is not installed")
        setup.insert(0, f". {BASH_COMPLETION}")
    if request.param == "colon is no word break":
        setup.insert(0, "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}")
    setup += [
        "PS1='> '",
        'probe() { _cputune "$@"; printf \'%s\\n\' "${COMPREPLY[@]}" >"$OFFERED"; }',
        "complete -F probe cputune",
        'show() { printf \'%s\\n\' "$READLINE_LINE" >"$LINE"; READLINE_LINE=; }',
        "bind -x '\"\\C-xl\": show'",
    ]
    terminal = Terminal([find("bash"), "--norc", "--noprofile", "-i"], environment, "; ".join(setup))
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def zsh(environment: dict[str, str]) -> Iterator[Terminal]:
    setup = [
        "PS1='> '; unsetopt beep; unsetopt list_beep; LISTMAX=-1",
        f"fpath=({SOURCES}/completions $fpath)",
        "autoload -U compinit; compinit -u -D",
        # What is added, in the terms of the line: -O and the like only ask.
        'compadd() { if [[ "${@[1,(i)(-|--)]}" == *(" -O "|" -A "|" -D ")* || "$1" == -[OAD] ]]; '
        'then builtin compadd "$@"; return; fi; '
        'local -a hits; builtin compadd -O hits "$@"; print -rl -- $hits >>"$OFFERED"; builtin compadd "$@"; }',
        'show() { print -r -- "$BUFFER" >"$LINE"; BUFFER=; }; zle -N show',
        'bindkey "^Xl" show; bindkey "^U" kill-buffer',
    ]
    terminal = Terminal([find("zsh"), "-f", "-i"], environment, "; ".join(setup))
    yield terminal
    terminal.close()


Fish = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def fish(environment: dict[str, str]) -> Fish:
    """What fish offers for a line; `complete -C` is its own way to ask."""
    shell = find("fish")
    said = subprocess.run([shell, "--version"], capture_output=True, text=True, check=True).stdout
    version = int(said.rpartition(" ")[2].partition(".")[0])

    def complete(line: str) -> list[str]:
        script = f"source {SOURCES}/completions/cputune.fish; complete -C $argv[1]"
        done = subprocess.run(
            [shell, "-c", script, line],
            env=environment, cwd=environment["HOME"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        offered = sorted(text.partition("\t")[0] for text in done.stdout.splitlines())
        word = line.rpartition(" ")[2]
        fitting = [text for text in offered if text.startswith(word)]
        if not fitting or version < 4:
            return offered
        # Since version 4 it also offers the options that have these letters in this order.
        assert [text for text in offered if not has_letters(text, word)] == []
        return fitting

    return complete


def has_letters(text: str, letters: str) -> bool:
    """Whether a text has these letters in this order, with others between them."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


# --- what is offered --------------------------------------------------------------------------------------------------

ASSIGNMENTS = sorted(f"{knob.virsh}=" for knob in KNOBS if knob.virsh)

WITHOUT_ASKING = [
    ("cputune ", sorted(COMMANDS)),
    ("cputune s", ["schedinfo", "set", "status"]),
    ("cputune --root /mnt s", ["schedinfo", "set", "status"]),
    ("cputune --root /mnt --s", ["--state-dir"]),
    ("cputune set --c", ["--config", "--cpus", "--current"]),
    ("cputune set db --id", ["--idle"]),
    ("cputune set --quota ", ["unlimited"]),
    ("cputune run --name build --quota ", ["unlimited"]),
    ("cputune set --period ", []),
    ("cputune set --cpus w", []),
    ("cputune set --cpus un", ["unlimited"]),
    ("cputune status --runtime ", sorted(RUNTIMES)),
    ("cputune status --runtime l", sorted(name for name in RUNTIMES if name[0] == "l")),
    ("cputune schedinfo db ", ASSIGNMENTS),
    ("cputune schedinfo db vcpu_quota=5000 cpu_", [word for word in ASSIGNMENTS if word.startswith("cpu_")]),
    ("cputune schedinfo --set ", ASSIGNMENTS),
    ("cputune schedinfo --json db --set vcpu_", [word for word in ASSIGNMENTS if word.startswith("vcpu_")]),
    ("cputune run --cp", ["--cpus"]),
    ("cputune run busyw", ["busywork"]),
    ("cputune run -- busyw", ["busywork"]),
    ("cputune run --cpus 2 --idle -- busyw", ["busywork"]),
    ("cputune nosuch ", []),
]

ASKING = [
    *((f"cputune {command} ", DOMAINS + BARE) for command in ("set", "schedinfo", "status", "apply")),
    ("cputune set db ", DOMAINS + BARE),
    ("cputune set --live --quota 5000 --cpus=2 d", ["db"]),
    ("cputune set --quota 5000 -- d", ["db"]),
    ("cputune set ssh", ["ssh.service"]),
    ("cputune set machine", [r"machine-lxc\x2d438.scope", "machine.slice"]),
    ("cputune set tw", []),
    ("cputune --state-dir /tmp set d", ["db"]),
    ("cputune --root /nonexistent set ", []),
    ("cputune --root '/not existent' set ", []),
    ("cputune set nosuch", []),
]

# Fish asks for all names and chooses itself: where nothing begins with a text, it offers what has it anywhere.
FISH_ASKING = [
    *(case for case in ASKING if case[0] not in ("cputune set nosuch", "cputune set tw")),
    ("cputune set tw", ["lxc:twin", "nspawn:twin"]),
]


def long_options(name: str) -> list[str]:
    """The options of a command, from its definition."""
    command = cli if not name else cli.get_command(click.Context(cli), name)
    assert command
    return sorted(["--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts)
                               if name.startswith("--"))])  # fmt: skip


OPTIONS = [(f"cputune {name} --" if name else "cputune --", long_options(name)) for name in ("", *COMMANDS)]


def calls(environment: dict[str, str]) -> int:
    """How often cputune has been started."""
    path = Path(environment["CALLED"])
    return path.read_text().count("called") if path.exists() else 0


def unquoted(offered: list[str]) -> list[str]:
    """What bash was given to insert, as the words that they are."""
    return sorted(word for text in offered for word in shlex.split(text))


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_bash_knows_commands_options_and_values_itself(
    bash: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert bash.complete(line)[0] == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_zsh_knows_commands_options_and_values_itself(
    zsh: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert zsh.complete(line)[0] == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), WITHOUT_ASKING + OPTIONS)
def test_fish_knows_commands_options_and_values_itself(
    fish: Fish, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert fish(line) == expected
    assert calls(environment) == before


@pytest.mark.parametrize(("line", "expected"), ASKING)
def test_bash_asks_for_the_names_of_domains(
    bash: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert unquoted(bash.complete(line)[0]) == sorted(expected)
    assert calls(environment) == before + 1


@pytest.mark.parametrize(("line", "expected"), ASKING)
def test_zsh_asks_for_the_names_of_domains(
    zsh: Terminal, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert zsh.complete(line)[0] == sorted(expected)
    assert calls(environment) > before


@pytest.mark.parametrize(("line", "expected"), FISH_ASKING)
def test_fish_asks_for_the_names_of_domains(
    fish: Fish, environment: dict[str, str], line: str, expected: list[str]
) -> None:
    before = calls(environment)
    assert fish(line) == sorted(expected)
    assert calls(environment) == before + 1


# --- what becomes of the line -----------------------------------------------------------------------------------------

LINES = [
    ("cputune se", "cputune set "),
    ("cputune set lxc:d", "cputune set lxc:db "),
    ("cputune set lxc:tw", "cputune set lxc:twin "),
    ("cputune set nspawn:", "cputune set nspawn:twin "),
    ("cputune set ssh", "cputune set ssh.service "),
    ("cputune set lxc:m", r"cputune set lxc:my\ web "),
    (r"cputune set lxc:my\ w", r"cputune set lxc:my\ web "),
    ("cputune set 'lxc:my w", "cputune set 'lxc:my web' "),
    ('cputune set "lxc:my w', 'cputune set "lxc:my web" '),
    ("cputune set systemd:machine-", r"cputune set systemd:machine-lxc\\x2d438.scope "),
    (r"cputune set systemd:machine-lxc\\x2d4", r"cputune set systemd:machine-lxc\\x2d438.scope "),
    (r"cputune set 'systemd:machine-lxc\x2d4", r"cputune set 'systemd:machine-lxc\x2d438.scope' "),
    ("cputune set systemd:user@", "cputune set systemd:user@1000.service "),
    ("cputune set systemd:user@10", "cputune set systemd:user@1000.service "),
    ("cputune set db lxc:d", "cputune set db lxc:db "),
    ("cputune set lxc:", "cputune set lxc:"),
    ("nice cputune set lxc:d", "nice cputune set lxc:db "),
    ("cputune set --quota=", "cputune set --quota=unlimited "),
    ("cputune set --quota=u", "cputune set --quota=unlimited "),
    ("cputune --root fo", "cputune --root folder/"),
    ("cputune --root=fo", "cputune --root=folder/"),
    ("cputune schedinfo db vcpu_q", "cputune schedinfo db vcpu_quota="),
    ("cputune schedinfo db --set cpu_s", "cputune schedinfo db --set cpu_shares="),
    ("cputune run -- busywork no", "cputune run -- busywork notes.txt "),
    ("cputune run busywork --", "cputune run busywork --"),
]


def shortest(name: str) -> str:
    """The least of a name that no other begins with."""
    beginnings = (name[:end] for end in range(1, len(name) + 1))
    return next(text for text in beginnings if [other for other in DOMAINS + BARE if other.startswith(text)] == [name])


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_bash_completes_the_line(bash: Terminal, typed: str, completed: str) -> None:
    if typed.startswith("nice ") and not bash.packaged:
        completed = typed  # bash alone does not know that nice has a command behind it
    assert bash.complete(typed)[1] == completed


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_zsh_completes_the_line(zsh: Terminal, typed: str, completed: str) -> None:
    assert zsh.complete(typed)[1] == completed


@pytest.mark.parametrize("name", DOMAINS + BARE)
def test_bash_inserts_a_name_so_that_it_arrives_unharmed(
    bash: Terminal, environment: dict[str, str], name: str
) -> None:
    assert shlex.split(bash.complete(f"cputune set {shortest(name)}")[1]) == ["cputune", "set", name]
    assert not Path(environment["HOME"], "pwned").exists()


@pytest.mark.parametrize("name", DOMAINS + BARE)
def test_zsh_inserts_a_name_so_that_it_arrives_unharmed(zsh: Terminal, environment: dict[str, str], name: str) -> None:
    assert shlex.split(zsh.complete(f"cputune set {shortest(name)}")[1]) == ["cputune", "set", name]
    assert not Path(environment["HOME"], "pwned").exists()


@pytest.mark.parametrize("quoted", ["'lxc:it", '"lxc:odd'])
def test_bash_leaves_out_a_name_that_cannot_be_in_these_quotes(bash: Terminal, quoted: str) -> None:
    assert bash.complete(f"cputune set {quoted}") == ([], f"cputune set {quoted}")


@pytest.mark.parametrize("line", ["cputune run -- cputune stat", "cputune run --cpus 2 cputune stat"])
def test_the_command_of_run_completes_as_by_itself(fish: Fish, zsh: Terminal, line: str) -> None:
    assert fish(line) == ["status"]
    assert zsh.complete(line)[1] == f"{line}us "


def test_a_shell_without_cputune_offers_no_names_and_says_nothing(environment: dict[str, str]) -> None:
    script = """
        . "$0"; COMP_LINE="cputune set " COMP_POINT=12 COMP_WORDS=(cputune set "") COMP_CWORD=2
        _cputune; echo "${#COMPREPLY[@]} names"
    """
    done = subprocess.run(
        [find("bash"), "-c", script, f"{SOURCES}/completions/cputune.bash"],
        env={**environment, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0 names\n", "")


def test_cputune_answers_as_the_scripts_expect(environment: dict[str, str]) -> None:
    asked = {"COMP_WORDS": "cputune set", "COMP_CWORD": "2", "_CPUTUNE_COMPLETE": "bash_complete"}
    done = subprocess.run(["cputune"], env={**environment, **asked}, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.splitlines()) == sorted(f"plain,{name}" for name in DOMAINS + BARE)
    assert (done.returncode, done.stderr) == (0, "")
