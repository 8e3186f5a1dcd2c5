"""`python -m cputune`: the same as the installed command."""

from cputune.cli import main

if __name__ == "__main__":
    main()
