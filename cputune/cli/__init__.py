"""The command line: options, commands, and results as text and JSON."""
