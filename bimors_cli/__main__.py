"""`python -m bimors_cli` is `bimors`."""

from bimors_cli.cli.main import main

main()
