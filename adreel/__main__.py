"""`python -m adreel` is the command `adreel`."""

from adreel.cli.app import main

main()
