"""Shells that know the completions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.docs import SOURCES
from tests.support.machine import give_up
from tests.support.shells import BASH_COMPLETION, Fish, Terminal, find, has_letters, make_host
from tests.support.waiting import SECONDS


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
