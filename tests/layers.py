"""A layer as `classify` writes it, with answers that the test gives: no model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, without_empty

Answer = Callable[[int], dict[str, Any]]
MakeLayer = Callable[..., Path]


def write_layer(path: Path, bundle: Bundle, scenes: tuple[str, ...], labels: Labels, answer: Answer, **kw: Any) -> Path:
    """Write a layer: ``answer(i)`` are the fields of the i-th tile's record; ``kw`` are options of `classify`."""
    options = ClassifyOptions(scenes=scenes, labels=labels, output=str(path), model=str(bundle.folder), **kw)
    plan = make_plan(options)
    records = [
        TileResult(number, index, **answer(index))
        for number, scene in enumerate(plan.scenes)
        for index in range(len(scene.grid))
    ]
    job = Classification.from_plan(plan, ["bimors", "classify", *scenes])
    OutputTarget(plan, job.schema).write(frames(plan, without_empty(plan, records), job.to_frame))
    return path


def in_turn(labels: Labels) -> Answer:
    """Answer with the labels in turn, the confidence rising from 0 to 1 over 20 tiles; every tenth has none."""

    def answer(index: int) -> dict[str, Any]:
        if index % 10 == 9:
            return {"reason": "low_confidence", "caption": "something"}
        best, second = index % len(labels), (index + 1) % len(labels)
        share = round((index % 20) / 20, 2)
        return {"ranking": ((best, share), (second, round(1 - share, 2))), "caption": f"tile number {index}"}

    return answer


@pytest.fixture
def make_layer(tiny_bundle: Bundle, tmp_path: Path) -> MakeLayer:
    """A function that writes ``out.gpkg`` over some scenes."""

    def make(
        *scenes: str, labels: Labels | None = None, answer: Answer | None = None, name: str = "out.gpkg", **kw: Any
    ) -> Path:
        chosen = labels or Labels.of(["forest", "river", "harbour"])
        return write_layer(tmp_path / name, tiny_bundle, scenes, chosen, answer or in_turn(chosen), **kw)

    return make


__all__ = ["Answer", "MakeLayer", "in_turn", "make_layer", "write_layer"]
