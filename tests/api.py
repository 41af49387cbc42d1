"""The functions of the Python API with the options as keywords, which is shorter in tests."""

from __future__ import annotations

from typing import Any

import bimors_cli
from bimors_cli import ClassifyOptions, EvaluateOptions, FinetuneOptions, MergeOptions


def classify(scenes: Any, labels: Any, output: Any = None, **options: Any) -> Any:
    return bimors_cli.classify(scenes, labels, output, ClassifyOptions(**options))


def merge(output: Any, journals: Any, **options: Any) -> Any:
    return bimors_cli.merge(output, journals, MergeOptions(**options))


def finetune(sources: Any, output: Any = None, **options: Any) -> Any:
    return bimors_cli.finetune(sources, output, FinetuneOptions(**options))


def evaluate(sources: Any, output: Any = None, **options: Any) -> Any:
    return bimors_cli.evaluate(sources, output, EvaluateOptions(**options))
