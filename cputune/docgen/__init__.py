"""Generates the manual and the completions from the commands: `python -m cputune.docgen`, and `--check`."""
