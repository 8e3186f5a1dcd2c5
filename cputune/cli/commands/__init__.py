"""One module a command: options in, the core called, a report out."""
