"""The runner is tested from outside: a guest cannot boot a guest."""

import os

collect_ignore = ["test_runner.py"] if "CPUTUNE_UML" in os.environ else []
