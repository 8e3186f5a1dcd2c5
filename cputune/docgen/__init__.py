"""The manual and the completions, generated from the commands: `python -m cputune.docgen`, and `--check`."""
