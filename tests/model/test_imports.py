"""Code of models that a run does not load is not imported. Each import takes seconds of every start."""

from __future__ import annotations

import json
import subprocess
import sys

# What open_clip imports of transformers by itself is not counted: it has no code of a model that bimors loads.
LOADED = """
import json, sys
import bimors_cli.pipeline.inference.load, bimors_cli.pipeline.inference.predict
names = ("bert", "blip", "blip_2", "t5")
print(json.dumps([n for n in names if f"transformers.models.{n}.modeling_{n}" in sys.modules]))
print(json.dumps([n for n in ("transformers.generation.utils", "faiss", "sklearn") if n in sys.modules]))
"""


def test_the_code_of_captioners_and_text_models_is_not_imported_before_they_are_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    models, others = map(json.loads, done.stdout.splitlines())
    assert models == []
    assert others == []
