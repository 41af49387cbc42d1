"""A whole run of finetune on the small random bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, Interrupted, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.options.heads import HEADS
from bimors_cli.pipeline.inference.load import load_models, make_classifier
from bimors_cli.training.finetune import finetune as run
from bimors_cli.training.options import FinetuneOptions
from tests.api import finetune


def draw_pictures(folder: Path, classes: dict[str, int], count: int = 8, seed: int = 0) -> Path:
    """Noise of one brightness a class: something to be learned."""
    generator = np.random.default_rng(seed)
    for name, level in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.clip(generator.normal(level, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}_{i}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("source") / "coastline", {"beach": 220, "forest": 60, "river": 130})


def options(data: Path, bundle: Bundle, output: Path, **other: object) -> FinetuneOptions:
    chosen = {"head": "bimors", "shots": 4, "epochs": 3, "model": str(bundle.folder), "output": str(output), **other}
    return FinetuneOptions(sources=(str(data),), **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_an_adapter_that_opens(head: str, data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    summary = run(options(data, tiny_bundle, tmp_path / "coast", head=head))
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    stored = HEADS[head].stored_name
    assert (adapter.head, adapter.labels, adapter.cache) == (stored, ("beach", "forest", "river"), stored == "cache")
    assert summary.examples == {"beach": 4, "forest": 4, "river": 4} and summary.validation == 12
    assert set(summary.scores["validation"]) == {"zero-shot", stored}
    metrics = json.loads((tmp_path / "coast" / "metrics.json").read_text())
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2, 3]
    assert metrics["validation"][stored]["accuracy"]["of"] == 12
    card = (tmp_path / "coast" / "README.md").read_text()
    assert "beach, forest, river" in card and str(data) in card
    for name in ("training.png", "confusion.png", "reliability.png"):
        with Image.open(tmp_path / "coast" / name) as picture:
            picture.verify()
        assert f"({name})" in card
    assert [path.name for path in tmp_path.iterdir()] == ["coast"]


def test_the_same_run_twice_gives_the_same_adapter(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(options(data, tiny_bundle, tmp_path / name))
    first, second = (open_adapter(tmp_path / name, tiny_bundle) for name in ("a", "b"))
    assert first.sha256 == second.sha256
    run(options(data, tiny_bundle, tmp_path / "c", seed=2))
    assert open_adapter(tmp_path / "c", tiny_bundle).sha256 != first.sha256


def test_a_cache_on_top_of_prompts(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    run(options(data, tiny_bundle, tmp_path / "coast", cache=True))
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    state = load_file(adapter.weights)
    assert adapter.head == "bimors" and adapter.cache
    assert state["cache.keys"].shape[0] == 12 and "meta_net.0.weight" in state


def test_a_frozen_caption_projection_stays_as_it_began(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    states = {}
    for name, epochs, frozen in (("short", 1, True), ("long", 3, True), ("free", 3, False)):
        run(options(data, tiny_bundle, tmp_path / name, epochs=epochs, rate=0.5, freeze_caption_projection=frozen))
        states[name] = load_file(open_adapter(tmp_path / name, tiny_bundle).weights)["caption_projection.weight"]
    assert (states["short"] == states["long"]).all()
    assert not (states["short"] == states["free"]).all()


def test_some_classes_in_an_order_of_ones_own(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    labels = Labels.of(["River", "beach"])
    summary = run(options(data, tiny_bundle, tmp_path / "coast", labels=labels, epochs=1))
    assert open_adapter(tmp_path / "coast", tiny_bundle).labels == ("River", "beach")
    assert summary.examples == {"River": 4, "beach": 4}


def test_labels_with_synonyms_choose_and_join_classes(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    names = sorted(path.name for path in data.iterdir())
    first, second, *_ = names
    labels = Labels.of([f"coast | {first}", f"green | {names[-1].upper()} | {second}"])
    summary = run(options(data, tiny_bundle, tmp_path / "coast", labels=labels, epochs=1))
    assert summary.labels == ("coast", "green") and summary.examples == {"coast": 4, "green": 4}
    assert open_adapter(tmp_path / "coast", tiny_bundle).labels == ("coast", "green")


def test_a_class_whose_name_has_a_bar(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Of the data, the bar is a letter; a labels file finds the class by either part."""
    folder = draw_pictures(tmp_path / "lakes", {"forest|woodland": 50, "lake": 160}, count=20)
    for head in ("linear", "bimors+cache"):
        chosen = {"head": head.removesuffix("+cache"), "cache": head.endswith("+cache"), "epochs": 1}
        summary = run(options(folder, tiny_bundle, tmp_path / head, **chosen))
        assert summary.labels == ("forest|woodland", "lake")
        adapter = open_adapter(tmp_path / head, tiny_bundle)
        assert adapter.labels == ("forest|woodland", "lake")
        models = load_models(tiny_bundle, "cpu")
        evidence = models.encode(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
        answers = [
            make_classifier(models, adapter, labels).head.forward(evidence)
            for labels in (Labels.literal(adapter.labels), Labels.of(["trees | Woodland", "lake"]))
        ]
        if head == "linear":
            assert torch.equal(*answers)


class StopAfter:
    """Asks to stop once an epoch was shown."""

    signal_number: int | None = None

    def begin(self, total: int, done: int = 0, stage: str = "") -> None: ...
    def advance(self, count: int) -> None: ...
    def epoch(self, figures: object, total: int) -> None:
        self.signal_number = 2


def test_an_interrupted_run_goes_on_to_the_same_adapter(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    run(options(data, tiny_bundle, tmp_path / "whole"))
    ask = StopAfter()
    with pytest.raises(Interrupted, match="after epoch 1 of 3"):
        run(options(data, tiny_bundle, tmp_path / "cut"), progress=ask, stop=ask)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(OutputExistsError, match="unfinished"):
        run(options(data, tiny_bundle, tmp_path / "cut"))
    run(options(data, tiny_bundle, tmp_path / "cut", resume=True))
    both = [open_adapter(tmp_path / name, tiny_bundle) for name in ("whole", "cut")]
    assert both[0].sha256 == both[1].sha256
    assert not (tmp_path / "cut.training").exists()


def test_a_folder_that_is_no_adapter_is_never_replaced(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="it is not replaced"):
        run(options(data, tiny_bundle, mine, overwrite=True))
    assert (mine / "a.txt").read_text() == "mine"


def test_an_adapter_is_replaced_only_when_asked(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    run(options(data, tiny_bundle, tmp_path / "coast", epochs=1))
    with pytest.raises(OutputExistsError, match="exists"):
        run(options(data, tiny_bundle, tmp_path / "coast", head="coop"))
    run(options(data, tiny_bundle, tmp_path / "coast", head="coop", overwrite=True))
    assert open_adapter(tmp_path / "coast", tiny_bundle).head == "coop"
    assert [path.name for path in tmp_path.iterdir()] == ["coast"]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Path]:
    for i, part in enumerate(("train", "val", "test")):
        draw_pictures(tmp_path / "set" / part, {"beach": 220, "forest": 60}, count=5, seed=i)
    return iter([tmp_path / "set"])


def test_test_pictures_are_measured_and_unreadable_ones_left_out(
    parts: Iterator[Path], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    folder = next(parts)
    (folder / "test" / "beach" / "beach_0.png").write_bytes(b"no picture")
    summary = finetune(folder, tmp_path / "coast", head="bimors", shots=3, epochs=2, model=str(tiny_bundle.folder))
    assert summary.scores["test"]["bimors"].accuracy.total == 9
    assert "Accuracy on test (9 images)" in (tmp_path / "coast" / "README.md").read_text()


def test_a_single_example_leaves_the_confidence_uncalibrated(
    tiny_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = draw_pictures(tmp_path / "few", {"beach": 220, "forest": 60}, count=1)
    summary = finetune(folder, tmp_path / "coast", head="bimors", shots=1, epochs=1, model=str(tiny_bundle.folder))
    assert summary.validation == 0 and "not calibrated" in caplog.text
    assert open_adapter(tmp_path / "coast", tiny_bundle).temperature == tiny_bundle.zero_shot_temperature


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"head": "maple"}, "--head maple"),
        ({"shots": -1}, "--shots -1"),
        ({"epochs": 0}, "--epochs 0"),
        ({"head": "bimors", "rate": 0.0}, "--lr 0"),
        ({"rate": 0.1}, "--lr has no effect with --head auto"),
        ({"cache": True}, "--tip-adapter has no effect with --head auto"),
        ({"views": ("colour",)}, "--views colour"),
        ({"head": "linear", "views": ("image",)}, "--views has no effect with --head linear"),
        ({"polygons": "a.gpkg"}, "--polygons needs --field"),
        ({"field": "class"}, "--field needs --polygons"),
        ({"head": "coop", "freeze_caption_projection": True}, "no effect with --head coop"),
        ({"overwrite": True, "resume": True}, "one of them"),
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        FinetuneOptions(sources=("data",), **wrong)  # type: ignore[arg-type]
    assert said in f"{caught.value} {caught.value.hint}"
