"""Saved configurations: their YAML, their directory, and many of them in one file."""
