"""`classify --coverage`: the columns, the summary, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
from geopandas.testing import assert_geodataframe_equal
from safetensors.numpy import load_file, save_file

from bimors_cli.bundle.adapter import WEIGHTS, Adapter, open_adapter, read_adapter, write_adapter_manifest
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.probabilities import merged
from bimors_cli.fewshot.storage import left_out_arrays
from bimors_cli.labels import Label, Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.options.priors import read_areas
from bimors_cli.pipeline.adapter_ensemble import LEFT_OUT
from bimors_cli.pipeline.label_sets import make_label_sets
from bimors_cli.pipeline.merge import merge
from bimors_cli.pipeline.summary import Summary
from tests import api
from tests.conftest import MakeRaster
from tests.pipeline.image_adapters import write_image_adapter
from tests.pipeline.test_classify_views import (  # noqa: F401 (fixtures)
    LABELS,
    TILE,
    Write,
    adapter,
    land,
    write,
)
from tests.pipeline.test_novelty import clouded, lines, read

# ruff: noqa: F811

Run = Callable[..., Summary]


def write_answers(folder: Path, bundle: Bundle, answers: LeftOut | None) -> Path:
    """Replace the answers for left-out examples in an adapter of the view ``bands``."""
    arrays = {name: array for name, array in load_file(folder / WEIGHTS).items() if not name.startswith(LEFT_OUT)}
    if answers is not None:
        arrays |= {LEFT_OUT + name: array for name, array in left_out_arrays(answers).items()}
    save_file(arrays, folder / WEIGHTS)
    old = read_adapter(folder)
    facts = {"name": old.name, "head": "views", "labels": old.labels, "temperature": 1.0, "training": {}}
    write_adapter_manifest(folder, bundle, views=old.views, **facts)  # type: ignore[arg-type]
    return folder


def answers(per_class: int = 20, *, right: float = 0.6, seed: int = 0, **more: Any) -> LeftOut:
    """Answers for examples in places of two; so many of them have the true label as the best."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    said = np.where(random.random(len(labels)) < right, labels, (labels + 1) % 3)
    p = 0.002 + np.eye(3)[said] + 0.05 * np.eye(3)[(said + 2) % 3] * random.random((len(labels), 1))
    return LeftOut(np.log(p / p.sum(axis=1, keepdims=True)), labels, np.arange(len(labels)) // 2, **more)


@pytest.fixture
def folder(adapter: Any, tiny_bundle: Bundle) -> str:
    return str(write_answers(adapter("bands"), tiny_bundle, answers()))


@pytest.fixture
def run(tiny_bundle: Bundle, tmp_path: Path) -> Run:
    def run(scene: str, output: str = "out.gpkg", labels: Any = LABELS, **options: Any) -> Summary:
        how = {"model": str(tiny_bundle.folder), "tile_size": str(TILE), "device": "cpu", **options}
        found: Summary = api.classify(scene, labels, tmp_path / output, **how)
        return found

    return run


def members(found: geopandas.GeoDataFrame) -> list[list[str]]:
    return [[] if not text else text.split(" | ") for text in found["label_set"]]


@pytest.mark.parametrize("output", ["out.gpkg", "out.geojsonl", "out.fgb", "out.geojson", "out.parquet"])
def test_every_format_has_the_columns(folder: str, write: Write, run: Run, output: str) -> None:
    summary = run(write(clouded()), output, adapter=folder, coverage=0.8, probabilities=True, unlike_examples=0.1)
    reader = geopandas.read_parquet if output.endswith(".parquet") else read
    found = reader(summary.output)
    sets = members(found)
    assert found["label_set_size"].tolist() == list(map(len, sets)) and found["label_set_size"].dtype.kind == "i"
    empty = found["label_set_size"] == 0
    assert (found["reason"] == "unlike_examples").equals(empty) and empty[found["row"] == 0].all()
    assert found["label"].isna().equals(empty)
    for label, each in zip(found["label"], sets, strict=True):
        assert not each or each[0] == label
    p = found[[f"p_{name}" for name in LABELS]].to_numpy()
    for row, each in zip(p, sets, strict=True):
        chosen = [row[LABELS.index(name)] for name in each]
        assert chosen == sorted(chosen, reverse=True)
        assert not each or min(chosen) >= max((row[i] for i in range(3) if LABELS[i] not in each), default=0) - 0.2
    assert summary.set_sizes.total() == len(found) and summary.set_sizes[0] == empty.sum()


def test_rows_without_the_option_are_the_same(folder: str, write: Write, run: Run) -> None:
    scene = write(land(2)[0])
    plain = read(run(scene, adapter=folder, probabilities=True).output)
    # Three classes of ten places each: no set is empty.
    sets = read(run(scene, "sets.gpkg", adapter=folder, probabilities=True, coverage=0.9).output)
    assert "label_set" not in plain.columns
    assert_geodataframe_equal(plain, sets.drop(columns=["label_set", "label_set_size"]))


def test_more_coverage_has_larger_sets(folder: str, write: Write, run: Run) -> None:
    scene = write(land(2)[0])
    small, large = (
        read(run(scene, f"{coverage}.gpkg", adapter=folder, coverage=coverage).output) for coverage in (0.6, 0.9)
    )
    assert (large["label_set_size"] >= small["label_set_size"]).all()
    assert large["label_set_size"].sum() > small["label_set_size"].sum()


def test_the_summary_says_what_is_promised(folder: str, write: Write, run: Run) -> None:
    text = lines(run(write(clouded()), adapter=folder, coverage=0.7))
    assert "label sets: one label " in text and "none (unlike all examples) " in text and "labels on average" in text
    assert "coverage: 70 % promised, from 60 examples in 30 places" in text
    assert f"for each of: {', '.join(LABELS)}" in text and "no set is empty" not in text
    text = lines(run(write(clouded()), adapter=folder, coverage=0.95, overwrite=True))
    assert f"together, in the proportions of the examples, as each has too few places: {', '.join(LABELS)}" in text
    assert "no set is empty: that a tile is unlike all examples would need 79 places" in text
    assert "label set" not in lines(run(write(clouded()), adapter=folder, overwrite=True))


def test_resume_and_shards(folder: str, write: Write, run: Run, tmp_path: Path) -> None:
    scene, options = write(clouded()), {"adapter": folder, "coverage": 0.7}
    whole = read(run(scene, **options).output)
    assert set(whole["label_set_size"]) >= {0, 1}
    run(scene, "parts.gpkg", shard="1/2", **options)
    with pytest.raises(InputError, match="coverage"):
        run(scene, "parts.gpkg", shard="1/2", resume=True, **{**options, "coverage": 0.6})
    run(scene, "parts.gpkg", shard="1/2", resume=True, **options)
    run(scene, "parts.gpkg", shard="2/2", **options)
    journals = sorted(map(str, tmp_path.glob("*parts.gpkg*journal*")))
    summary = merge(MergeOptions(journals=tuple(journals), output=str(tmp_path / "parts.gpkg")))
    assert_geodataframe_equal(read(tmp_path / "parts.gpkg"), whole)
    assert "coverage: 70 % promised" in lines(summary)


def opened(folder: str, bundle: Bundle) -> Adapter:
    return open_adapter(Path(folder), bundle)


def options(labels: Labels, **more: Any) -> ClassifyOptions:
    return ClassifyOptions(scenes=("scene.tif",), labels=labels, **{"coverage": 0.8, **more})


def covered(folder: str, bundle: Bundle, labels: Labels, truth: npt.NDArray[Any], columns: Sequence[Any]) -> float:
    """Share of the left-out examples themselves whose set has the true one of the user's labels."""
    sets = make_label_sets(options(labels), opened(folder, bundle))
    assert sets is not None
    rows = truth >= 0
    found = sets.of(merged(answers().log_p[rows], columns))
    return float(found[np.arange(rows.sum()), truth[rows]].mean())


def test_labels_may_be_merged_or_left_out(folder: str, tiny_bundle: Bundle) -> None:
    first, second, third = LABELS
    truth = np.repeat([0, 0, 1], 20)
    two = Labels((Label(first, synonyms=(second,)), Label(third)))
    assert covered(folder, tiny_bundle, two, truth, [(0, 1), (2,)]) >= 0.8
    some = Labels.of([second, first])
    truth = np.repeat([1, 0, -1], 20)
    assert covered(folder, tiny_bundle, some, truth, [(1,), (0,)]) >= 0.8
    sets = make_label_sets(options(some), opened(folder, tiny_bundle))
    assert sets is not None and (sets.examples, sets.places) == (40, 20)
    new = make_label_sets(options(Labels.of([*LABELS, "port"])), opened(folder, tiny_bundle))
    assert new is not None and new.farthest[3] < 0
    with pytest.raises(InputError, match="left-out examples in 0 places"):
        make_label_sets(options(Labels.of(["port", "lake"])), opened(folder, tiny_bundle))


def test_priors_change_what_is_learned_from_the_left_out_examples(folder: str, tiny_bundle: Bundle) -> None:
    labels, adapter, made = Labels.of(LABELS), opened(folder, tiny_bundle), answers()
    equal, same, other = (
        make_label_sets(options(labels), adapter, priors) for priors in ((), (1 / 3,) * 3, (0.98, 0.01, 0.01))
    )
    assert equal is not None and same is not None and other is not None
    np.testing.assert_allclose(same.farthest, equal.farthest, atol=1e-6)
    p = np.exp(made.log_p) * (0.98, 0.01, 0.01)
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(made.labels))
    assert other.of(p)[rows, made.labels].mean() >= 0.8
    assert np.abs(np.subtract(other.farthest, equal.farthest)).max() > 0.01


def test_priors_and_sets_in_a_run(folder: str, write: Write, run: Run, tmp_path: Path) -> None:
    areas = tmp_path / "areas.csv"
    areas.write_text("\n".join(f"{name},{number}" for number, name in enumerate(LABELS, start=1)))
    found = read(run(write(land(2)[0]), adapter=folder, coverage=0.8, priors=read_areas(str(areas))).output)
    assert found["label_set_size"].min() >= 0 and found["label_set_size"].max() > 1


def test_too_few_places(tiny_bundle: Bundle, make_raster: MakeRaster, run: Run, tmp_path: Path) -> None:
    few = str(write_image_adapter(tmp_path / "images", tiny_bundle, LABELS, groups=12).folder)
    scene = make_raster(land(2)[0][:3])
    with pytest.raises(InputError, match=r"needs examples in 19 places .* left-out examples in 12 places") as caught:
        run(scene, adapter=few, coverage=0.95)
    assert caught.value.hint == (
        "use --coverage 92% or less, or draw examples in 7 more places and run bimors finetune again"
    )
    assert "92 % promised" in lines(run(scene, adapter=few, coverage=0.92))
    with pytest.raises(InputError, match=r"--coverage 92 % with --unlike-examples 0.05 needs examples in 33 places"):
        run(scene, adapter=few, coverage=0.92, unlike_examples=0.05, overwrite=True)


def test_what_is_not_promised_is_warned_of(
    adapter: Any, write: Write, run: Run, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    made, scene = answers(together=True), write(land(2)[0])
    kept = made.labels != 1
    one_place = replace(made, log_p=made.log_p[kept], labels=made.labels[kept], places=made.places[kept])
    where = str(write_answers(adapter("bands"), tiny_bundle, one_place))
    with caplog.at_level(logging.WARNING, "bimors"):
        run(scene, adapter=where, coverage=0.8)
    text = caplog.text
    assert "the classes of the adapter coast were drawn in one place each" in text
    assert f"--coverage 80 % is not promised for tiles of {LABELS[1]}: all examples are in one place" in text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "bimors"):
        run(scene, adapter=where, overwrite=True)
    assert "coverage" not in caplog.text


def test_adapters_without_answers_are_refused(
    adapter: Any, write: Write, run: Run, tiny_bundle: Bundle, make_raster: MakeRaster
) -> None:
    scene = write(land(2)[0])
    with pytest.raises(InputError, match=r"left out: the adapter .* has none") as caught:
        run(scene, coverage=0.8)
    assert "finetune --head auto" in str(caught.value.hint)
    old = write_answers(adapter("bands"), tiny_bundle, None)
    with pytest.raises(InputError, match="does not store the answers") as caught:
        run(scene, adapter=str(old), coverage=0.8)
    assert caught.value.hint == "run bimors finetune again"
    made = answers()
    write_answers(old, tiny_bundle, replace(made, log_p=made.log_p[:, :2]))
    with pytest.raises(BundleError, match="damaged"):
        run(scene, adapter=str(old), coverage=0.8)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"head": "zero-shot"}, "--head zero-shot has none of"),
        ({"refine": "spatial"}, "which --refine changes"),
        ({"vote": True, "overlap": "50%"}, "which --vote changes"),
        ({"unlike_examples": 0.2}, "--unlike-examples 0.2 would use all of that"),
        ({"labels": Labels((Label("a | b"), Label("c")))}, "the label 'a | b' has one"),
        ({"coverage": 0.0}, "must be above 0 and below 1"),
        ({"coverage": 1.0}, "must be above 0 and below 1"),
    ],
)
def test_options_that_do_not_go_together(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        ClassifyOptions(**{"scenes": ("scene.tif",), "labels": Labels.of(LABELS), "coverage": 0.8, **more})
