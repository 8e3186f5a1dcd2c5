"""The commands, one module each: parse the options, call the core, print a report."""
