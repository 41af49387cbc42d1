"""The functions of the Python API, which `bimors_cli` exports: one for each command."""
