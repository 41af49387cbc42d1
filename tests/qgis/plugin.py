"""The parts of the plugin that know nothing of QGIS, imported from the folder where the analyst finds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDER = EXAMPLES / "qgis" / "bimors"


def part(name: str) -> ModuleType:
    """Import a module of the plugin. Its package goes by another name here than in QGIS, to be told from ours."""
    package = "bimors_of_qgis"
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            package, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    return importlib.import_module(f"{package}.{name}")


def described(name: str) -> Any:
    """The description of an algorithm."""
    return next(one for one in part("specs").ALGORITHMS if one.name == name)
