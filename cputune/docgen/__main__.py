"""`python -m cputune.docgen`: write the manual and the completions; with --check, list the files that are stale."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cputune.docgen.files import stale, write

SOURCES = Path(__file__).resolve().parents[2]


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; list the stale files and exit with 1 if there are any.")
@click.argument("root", default=SOURCES, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(check: bool, root: Path) -> None:
    """Write the manual and the completions into the source tree ROOT."""
    paths = stale(root) if check else write(root)
    for path in paths:
        click.echo(f"stale: {path}" if check else f"written: {path}")
    sys.exit(1 if check and paths else 0)


if __name__ == "__main__":
    main(prog_name="python -m cputune.docgen")
