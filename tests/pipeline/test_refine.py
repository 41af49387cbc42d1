"""Runs whose tiles refine their labels together: what that gives, and what may not change it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import InputError, Interrupted, JournalError, OutputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.output.image_features import read_features
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.dry_run import estimate
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.progress import NullProgress
from bimors_cli.pipeline.run import run
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.refine.spatial import spatial
from bimors_cli.refine.transductive import transductive
from tests.cli.test_caption import StopAfter
from tests.conftest import MakeRaster
from tests.hardening.disks import Disk
from tests.pipeline.refining import (
    LABELS,
    Classify,
    P,
    assert_same_rows,
    bimors,
    classify,
    files,
    options,
    picture,
    rows,
    scene,
)

__all__ = ["classify", "options", "scene"]

REFINEMENTS = {"transductive": transductive, "spatial": spatial}


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"feature": b"ab"},
        {"probability_bytes": b"cd"},
        {"valid_cells": b"e"},
        {"feature": b"a", "valid_cells": b""},
    ],
)
def test_a_record_comes_back_from_the_journal(kept: dict[str, bytes]) -> None:
    record = TileResult(1, 2, None, ((0, 0.5), (1, 0.25)), "a port", (0.5, 0.25), **kept)
    assert TileResult.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_record_of_an_earlier_version_is_read() -> None:
    old = [1, 2, None, [[0, 0.5]], "a port", None]
    assert TileResult.from_json(old) == TileResult(1, 2, None, ((0, 0.5),), "a port")
    assert TileResult.from_json([*old, "YWI="]).feature == b"ab"
    assert TileResult(1, 2, None, ((0, 0.5),), "a port").to_json() == [1, 2, None, ((0, 0.5),), "a port", None]


def test_runs_that_do_not_settle_are_as_they_were(scene: str, options: Callable[..., ClassifyOptions]) -> None:
    plain = make_plan(options(scene)).run_key()
    assert not {"refine", "vote"} & set(plain)
    refined = make_plan(options(scene, refine="spatial")).run_key()
    assert refined == {**plain, "refine": "spatial"}
    overlap = {"overlap": "50%"}
    voted = make_plan(options(scene, vote=True, **overlap)).run_key()
    assert voted == {**make_plan(options(scene, **overlap)).run_key(), "vote": True}


# --- --refine


def refined_by_hand(summary: Summary, how: str) -> npt.NDArray[np.float32]:
    """Refine what a run without --refine wrote, with --probabilities and --keep-features."""
    layer = rows(summary)
    answered = layer[layer["label"].notna()]
    features = np.concatenate([block for _, block in read_features(Path(str(summary.output)), "tiles")])
    text = answered[P].to_numpy(np.float64)
    text = text / text.sum(axis=1, keepdims=True)
    if how == "transductive":
        return transductive(features, text)
    places = {
        (scene, row, col): place
        for place, (scene, row, col) in enumerate(zip(answered["scene"], answered["row"], answered["col"], strict=True))
    }
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    near = [[places.get((s, r + y, c + x), -1) for y, x in around] for s, r, c in places]
    return spatial(features, text, np.array(near))


@pytest.mark.parametrize("how", REFINEMENTS)
@pytest.mark.parametrize("overlap", ["0", "25%"])
def test_all_tiles_of_a_run_are_refined_together(
    make_raster: MakeRaster, scene: str, classify: Classify, how: str, overlap: str
) -> None:
    scenes = [scene, make_raster(picture(100, 130, seed=1), name="other.tif")]
    plain = classify(scenes, "plain.gpkg", overlap=overlap, probabilities=True, keep_features=True)
    summary = classify(scenes, "refined.gpkg", overlap=overlap, probabilities=True, refine=how)
    before, after = rows(plain), rows(summary)
    assert set(before["reason"].dropna()) == set() and before["scene"].nunique() == 2
    np.testing.assert_allclose(after[P], refined_by_hand(plain, how), atol=1e-3)
    assert after["tile_id"].equals(before["tile_id"]) and list(after) == list(before)
    best = after[P].to_numpy().argmax(axis=1)
    assert after["label"].tolist() == [LABELS[place] for place in best]
    changed = int((after["label"] != before["label"]).sum())
    assert summary.refined == (changed, len(after)) and changed > 0
    assert f"refined: {changed:,} of {len(after):,} labels changed" in list(summary.lines(str))
    assert summary.seconds["refining"] > 0 and plain.refined is None and "refining" not in plain.seconds
    assert json.loads(read_provenance(Path(str(summary.output)))["run"])["refine"] == how


def test_a_layer_has_no_columns_for_it_and_no_features(scene: str, classify: Classify, tmp_path: Path) -> None:
    plain, refined = classify(scene, "plain.gpkg"), classify(scene, "refined.gpkg", refine="transductive")
    assert list(rows(plain)) == list(rows(refined))
    names = [set(pyogrio.list_layers(tmp_path / name)[:, 0]) for name in ("plain.gpkg", "refined.gpkg")]
    assert names[0] == names[1]
    with pytest.raises(InputError, match="has no image features"):
        next(read_features(tmp_path / "refined.gpkg", "tiles"))
    assert not [name for name in files(tmp_path) if "tmp" in name or "journal" in name]


def test_features_are_kept_beside_refined_labels_and_searched(
    scene: str, classify: Classify, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    classify(scene, "plain.gpkg", keep_features=True)
    summary = classify(scene, refine="transductive", keep_features=True, min_confidence=0.3)
    plain, refined = (list(read_features(tmp_path / name, "tiles")) for name in ("plain.gpkg", "out.gpkg"))
    assert refined[0][0] == plain[0][0]
    np.testing.assert_array_equal(refined[0][1], plain[0][1])
    command = ["search", str(summary.output), "forest", "--top", "3", "--model", str(tiny_bundle.folder), "--json"]
    found = CliRunner().invoke(app, command)
    hits = json.loads(found.stdout)
    labels = rows(summary).set_index("tile_id")["label"]
    assert len(hits) == 3 and all((labels[hit["tile_id"]] or None) == hit["label"] for hit in hits if hit["label"])


@pytest.mark.parametrize("given", [{"refine": "transductive"}, {"refine": "spatial", "vote": True, "overlap": "60%"}])
def test_rows_are_the_same_whatever_the_batch_and_however_often_it_was_interrupted(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    how = {"probabilities": True, "keep_empty": True, "min_confidence": 0.27, **given}
    whole = rows(classify(scene, "whole.gpkg", batch_size=16, **how))
    assert_same_rows(rows(classify(scene, "single.gpkg", batch_size=1, **how)), whole)
    for stop_after in (10, 30):
        with pytest.raises(Interrupted):
            classify(scene, batch_size=8, progress=StopAfter(stop_after), resume=True, **how)
    # The rest is done; the layer is not. Then no model is needed, and settling begins again.
    stop = StopAfter(10_000)
    before_layer = "bimors_cli.pipeline.refine._refine"
    with monkeypatch.context() as context:
        context.setattr(before_layer, lambda *args: pytest.fail("not reached"))
        context.setattr(
            "bimors_cli.pipeline.refine.write_arrays", lambda *args: (_ for _ in ()).throw(OutputError("full"))
        )
        with pytest.raises(OutputError, match="full") as caught:
            classify(scene, batch_size=8, progress=stop, resume=True, **how)
        assert "--resume" in str(caught.value.hint)
    monkeypatch.setattr(
        "bimors_cli.pipeline.inference.load.load_models", lambda *args, **kw: pytest.fail("a model was loaded")
    )
    summary = classify(scene, resume=True, **how)
    assert_same_rows(rows(summary), whole)
    assert files(tmp_path) >= {"out.gpkg"} and not [name for name in files(tmp_path) if "tmp" in name]
    assert classify(scene, resume=True, **how).finished_before


def test_another_refinement_is_another_run(scene: str, classify: Classify) -> None:
    with pytest.raises(Interrupted):
        classify(scene, progress=StopAfter(10), refine="transductive", batch_size=8)
    with pytest.raises(InputError, match="refine"):
        classify(scene, resume=True, refine="spatial", batch_size=8)


def test_confidence_is_judged_after_settling(scene: str, classify: Classify) -> None:
    plain = rows(classify(scene, "plain.gpkg", probabilities=True))
    every = rows(classify(scene, "every.gpkg", probabilities=True, refine="transductive"))
    level = float(np.median(every["confidence"]))
    sure = rows(classify(scene, min_confidence=level, probabilities=True, refine="transductive"))
    np.testing.assert_array_equal(sure[P], every[P])
    low = every["confidence"] < level
    assert (sure["reason"] == "low_confidence").tolist() == low.tolist() and low.any() and not low.all()
    # What it took was more than each tile alone: some were not sure before.
    assert ((plain["confidence"] < level) & sure["label"].notna()).any()


@pytest.mark.parametrize("given", [{"refine": "transductive"}, {"refine": "spatial"}, {"vote": True, "overlap": "16"}])
@pytest.mark.parametrize("answered", [0, 1])
def test_one_answer_or_none(make_raster: MakeRaster, classify: Classify, given: dict[str, Any], answered: int) -> None:
    data = np.zeros((3, 64, 64), np.uint8)
    data[:, :32, :32] = 90 * answered
    summary = classify(make_raster(data, nodata=0), keep_empty=True, min_valid=1.0, **given)
    layer = rows(summary)
    assert layer["label"].notna().sum() == (answered if "refine" in given else 4 * answered)
    assert summary.failed == 0 and set(layer["reason"].dropna()) == {"nodata"}


def test_one_label_everywhere_stays(make_raster: MakeRaster, classify: Classify) -> None:
    data = np.full((3, 96, 96), 100, np.uint8)
    plain = rows(classify(make_raster(data), "plain.gpkg", probabilities=True))
    for how in REFINEMENTS:
        refined = rows(classify(make_raster(data), f"{how}.gpkg", probabilities=True, refine=how))
        assert refined["label"].equals(plain["label"])


class StopWhenAsked(NullProgress):
    """Asks to stop when it was asked so often whether to."""

    def __init__(self, often: int) -> None:
        self._left = often

    @property
    def signal_number(self) -> int | None:  # type: ignore[override]
        self._left -= 1
        return None if self._left >= 0 else 2


@pytest.mark.parametrize(("often", "where"), [(40, "write_arrays"), (82, "transductive"), (130, "_refined")])
def test_a_signal_while_tiles_settle_ends_soon_and_the_next_run_goes_on(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: int, where: str
) -> None:
    stop = StopWhenAsked(often)
    with pytest.raises(Interrupted, match=r"70 finished tiles are in out\.gpkg\.bimors-journal") as caught:
        classify(scene, refine="transductive", progress=stop)
    assert where in [entry.name for entry in caught.traceback]
    assert caught.value.signal_number == 2 and "--resume" in str(caught.value.hint)
    assert files(tmp_path) == {"scene.tif", "out.gpkg.bimors-journal"}
    monkeypatch.setattr(
        "bimors_cli.pipeline.inference.load.load_models", lambda *args, **kw: pytest.fail("a model was loaded")
    )
    assert rows(classify(scene, refine="transductive", resume=True))["label"].notna().any()


def test_too_little_memory_is_one_line(scene: str, classify: Classify, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("bimors_cli.refine.transductive.transductive", full)
    with pytest.raises(OutputError, match="out of memory while refining 60 tiles") as caught:
        classify(scene, refine="transductive")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    assert "more memory; 70" in str(caught.value.hint) and "--resume" in str(caught.value.hint)


def test_a_full_disk_is_one_line(scene: str, classify: Classify, disk: Callable[[str], Disk]) -> None:
    small = disk("3m")

    class FillAtTheEnd(NullProgress):
        left = 70

        def advance(self, tiles: int) -> None:
            self.left -= tiles
            if not self.left:
                small.fill(leave=8192)

    with pytest.raises(OutputError, match="No space left") as caught:
        classify(scene, str(small.path / "out.gpkg"), refine="spatial", progress=FillAtTheEnd())
    assert "--resume" in str(caught.value.hint) and "\n" not in str(caught.value)
    assert files(small.path) == {"out.gpkg.bimors-journal", "ballast"}
    small.free()
    assert classify(scene, str(small.path / "out.gpkg"), refine="spatial", resume=True).rows == 60


def test_a_record_that_no_such_run_has_written(scene: str, options: Callable[..., ClassifyOptions]) -> None:
    chosen = options(scene, refine="transductive", resume=True)
    plan = make_plan(chosen)
    with Journal(journal_path(plan.output), plan.run_key(), [len(plan)], resume=False) as journal:
        journal.append([TileResult(0, i, probability_bytes=b"short", feature=b"ab") for i in range(len(plan))])
    with pytest.raises(JournalError, match="not from this run"):
        run(chosen)


@pytest.mark.parametrize(
    ("given", "says", "hint"),
    [
        ({"refine": "best"}, "--refine best", "transductive, spatial"),
        ({"refine": "transductive", "output": "-"}, "--refine needs all tiles", "-o FILE"),
        ({"vote": True, "overlap": "50%", "output": "-"}, "--vote needs all tiles", "-o FILE"),
        ({"vote": True}, "needs overlapping tiles", "--overlap"),
        ({"vote": True, "overlap": "0%"}, "needs overlapping tiles", "--overlap"),
        ({"vote": True, "overlap": "1m"}, "needs overlapping tiles", "--overlap"),
        ({"vote": True, "overlap": "50%", "keep_features": True}, "--keep-features", "leave one"),
    ],
)
def test_wrong_options_are_one_line(
    scene: str, classify: Classify, given: dict[str, Any], says: str, hint: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        classify(scene, **given)
    assert "\n" not in caught.value.message and hint in str(caught.value.hint)


def test_the_command_line_has_them_and_caption_has_not(scene: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    fixed = ["--model", tiny_bundle.folder, "--tile-size", 32, "--overlap", "50%", "-o", "out.gpkg"]
    settling = ["--refine", "spatial", "--vote"]
    done = bimors("classify", scene, "-l", "labels.txt", "--no-captions", *fixed, *settling, cwd=tmp_path)
    assert done.exit_code == 0 and "cells labelled" in done.stderr and "refining" in done.stderr
    assert bimors("caption", scene, *fixed, "--vote", cwd=tmp_path).exit_code == 2
    assert bimors("caption", scene, *fixed, "--refine", "spatial", cwd=tmp_path).exit_code == 2
    streamed = bimors("classify", scene, "-l", "labels.txt", *fixed[:-1], "-", *settling, cwd=tmp_path)
    assert streamed.exit_code == 2 and "--refine needs all tiles" in streamed.stderr and streamed.stdout == ""


def test_a_dry_run_says_what_comes_after(scene: str, options: Callable[..., ClassifyOptions]) -> None:
    lines = "\n".join(estimate(options(scene, refine="spatial", vote=True, overlap="20")).lines(str))
    assert "labels of all tiles are refined together (--refine spatial)" in lines
    assert "vote on 468 cells of 12 x 12 px" in lines
    assert "--refine" not in "\n".join(estimate(options(scene)).lines(str))
