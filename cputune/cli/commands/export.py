"""`cputune export`: print saved configurations as one file."""

from __future__ import annotations

import click

from cputune.cli.options import DOMAIN, make_tuner
from cputune.core.errors import WrongState

EPILOG = """\b
Try: cputune export >limits.yaml
     cputune export docker:web | ssh other sudo cputune import -"""


@click.command(epilog=EPILOG, short_help="Print saved configurations, for cputune import on another host.")
@click.argument("domains", nargs=-1, type=DOMAIN, metavar="[DOMAIN]...")
@click.pass_context
def command(ctx: click.Context, domains: tuple[str, ...]) -> None:
    """Print the saved configurations of the named domains, or all of them, as the documents of one YAML file.

    Comments are kept. The domains need not exist.
    """
    from cputune.app.importer import known_or_saved
    from cputune.config.bundle import documents
    from cputune.config.schema import parse
    from cputune.config.store import read

    tuner = make_tuner(ctx)
    store = tuner.store()
    files = {name: path for name, path in store.names() if path == store.place(name)}
    wanted = [known_or_saved(tuner, name).qualified for name in domains] or list(files)
    for name in wanted:
        if name not in files:
            raise WrongState(f"nothing is saved for {name}", "cputune status --config")
    found = [(name, parse(files[name], read(files[name]) or "")) for name in wanted]
    click.echo(documents(found), nl=False)
