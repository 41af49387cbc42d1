"""Imports all that a run of any command imports: for the process that `tests.hardening.forks` forks."""

import importlib

import torch

torch.set_num_threads(1)

for name in (
    "pyarrow.pandas_compat",
    "rich._emoji_codes",
    "transformers.models.opt.configuration_opt",
    "typer._click.decorators",
    "bimors_cli.bundle.catalog",
    "bimors_cli.bundle.store",
    "bimors_cli.cli.main",
    "bimors_cli.evaluation.evaluate",
    "bimors_cli.output.flatgeobuf",
    "bimors_cli.output.geopackage",
    "bimors_cli.pipeline.merge",
    "bimors_cli.pipeline.inference.load",
    "bimors_cli.pipeline.run",
    "bimors_cli.pipeline.inference.predict",
    "bimors_cli.training.run",
    "tests.hardening.forks",
):
    importlib.import_module(name)
