"""Cap, weigh and explain the CPU time of any Linux container."""

__version__ = "0.1.0"
