"""The card: measured on a tiny bundle, and the embedded bundle's own, held to its numbers."""

from __future__ import annotations

import copy
import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pystac
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from pystac.errors import STACValidationError
from pystac.stac_object import STACObjectType
from pystac.validation import JsonSchemaSTACValidator
from stac_model.schema import MLModelProperties

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle

sys.path.append(str(Path(__file__).resolve().parents[2] / "weights"))
from recipe import card_costs, card_logs, card_stac, card_stage, card_text
from recipe.common import Settings
from recipe.data import ImageSet
from recipe.measures import caption_scores, difference

LIMIT = 150_000
CHARTS = ("confusion-rsicd.png", "confusion-rsscn7.png", "reliability-rsicd.png", "reliability-rsscn7.png")
SENTENCES = (
    "many green trees are near a river.",
    "a large pond is in a dense forest.",
    "some boats are in the port beside white waves.",
    "several buildings, and a road, are near bare land.",
)


def images(classes: tuple[str, ...], count: int, captions: bool) -> ImageSet:
    generator = torch.Generator().manual_seed(count)
    return ImageSet(
        torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator),
        torch.arange(count) % len(classes),
        tuple(f"{classes[i % len(classes)]}/{i}.jpg" for i in range(count)),
        classes,
        tuple((SENTENCES[i % 4], SENTENCES[(i + 1) % 4]) for i in range(count)) if captions else (),
    )


def write_log(path: Path, *lines: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"stage": path.stem, **line}) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def measured(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny bundle's folder with its charts, and its numbers."""
    root = tmp_path_factory.mktemp("card")
    shutil.copytree(tiny_bundle.folder, root / "mini")
    write_log(
        root / "logs/clip.jsonl", {"epoch": 1, "minutes": 6.0, "loss": 2.5}, {"epoch": 2, "minutes": 12.0, "loss": 1.5}
    )
    how = Settings(root, root, root, root / "mini", 1, 1, "fp32")
    sets = {
        "rsicd": {
            "train": images(("forest", "pond", "river"), 2, True),
            "shots": images(("forest", "pond", "river"), 3, True),
            "test": images(("forest", "pond", "river"), 44, True),
        },
        "rsscn7": {"test": images(("forest", "grass"), 9, False)},
    }
    metrics = card_stage.measure(how, sets)
    return how.out, metrics | {"memory": {"MB": 500, "of": "bimors classify"}}


def test_measuring_writes_charts_and_leaves_the_bundle_whole(measured: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = measured
    assert {path.name for path in folder.glob("*.png")} == {*CHARTS, "training-clip.png"}
    json.dumps(metrics, allow_nan=False)
    open_bundle(folder)
    assert set(metrics["test"]["rsicd"]) == {"zero-shot", "bimors", "bimors, no captions"}
    assert metrics["test"]["rsscn7"]["bimors"]["accuracy"]["of"] == 9
    assert metrics["size"]["all"]["weights"] == sum(v["weights"] for k, v in metrics["size"].items() if k != "all")


def test_captions_move_the_tiny_bundles_answers(measured: tuple[Path, dict[str, Any]]) -> None:
    """Else 'no captions' would be measured with captions."""
    heads = measured[1]["test"]["rsicd"]
    assert heads["bimors"]["calibration error before"] != heads["bimors, no captions"]["calibration error before"]


def test_the_card_says_what_was_measured(measured: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = measured
    card = card_text.card(metrics)
    for heads in metrics["test"].values():
        for row in heads.values():
            assert f"{row['accuracy']['per cent']:.2f}" in card
    for name in folder.glob("*.png"):
        assert f"({name.name})" in card
    assert "| epochs | 0 |" in card  # the adapter's own training, not a text about another's
    assert "12.0 minutes in total, about 6.0 Wh: estimated, not metered" in card


@pytest.mark.parametrize(
    "low, high, said",
    [
        (0.2, 1.4, "bimors is better"),
        (-2.0, -0.1, "bimors is worse"),
        (-1.0, 1.0, "bimors and zero-shot do not differ significantly"),
        (0.0, 1.0, "bimors and zero-shot do not differ significantly"),
    ],
)
def test_the_verdict_follows_the_interval(
    measured: tuple[Path, dict[str, Any]], low: float, high: float, said: str
) -> None:
    metrics = copy.deepcopy(measured[1])
    metrics["difference"]["rsicd"]["bimors minus zero-shot"] |= {"points": (low + high) / 2, "95 %": [low, high]}
    line = next(line for line in card_text.card(metrics).splitlines() if line.startswith("- RSICD, bimors minus zero"))
    assert line.endswith(f": {said}.")


def test_a_run_by_the_clock_is_owned_up_to(measured: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    assert "--minutes" not in card_text.card(measured[1])
    log = write_log(tmp_path / "clip.jsonl", {"epoch": 1, "limit": 30.0})
    assert card_logs.by_the_clock(log)
    assert not card_logs.by_the_clock(write_log(tmp_path / "other.jsonl", {"epoch": 1, "limit": 0.0}, {"epoch": 2}))
    assert "ended by `--minutes`" in card_text.card(measured[1] | {"ended by the clock": ["clip"]})


def test_a_log_of_a_run_that_was_cut_and_begun_again(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "logs/clip.jsonl",
        {"epoch": 1, "loss": 3.0},
        {"epoch": 2, "loss": 2.0},
        {"epoch": 3, "loss": 9.0},
        {"epoch": 2, "loss": 1.0, "note": "again", "minutes": 4.0},
        {"named": 80.0, "examples": ["a pond."]},
    )
    write_log(tmp_path / "logs/try-vit.jsonl", {"epoch": 1})
    write_log(tmp_path / "logs/tokenizers.jsonl", {"words": 7})
    assert card_logs.epochs(log) == [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 1.0, "minutes": 4.0}]
    assert card_logs.paths(tmp_path) == [log]
    assert card_logs.ended(log)["captions that name the class, held out %"] == 80.0


def test_a_caption_against_itself_is_the_maximum() -> None:
    same = caption_scores(SENTENCES, [[text] for text in SENTENCES])
    assert same == {"BLEU-4": 100.0, "CIDEr": 10.0}
    turned = caption_scores(SENTENCES[1:] + SENTENCES[:1], [[text] for text in SENTENCES])
    assert turned["BLEU-4"] < 20 and turned["CIDEr"] < 1
    empty = caption_scores(["", *SENTENCES[1:]], [[text] for text in SENTENCES])
    assert 0 < empty["CIDEr"] < 10


def test_a_paired_difference_is_narrower_than_two_shares() -> None:
    """The same images are hard for both heads; only where they differ counts."""
    right = torch.arange(1000) % 10 != 0
    other = right.clone()
    other[5:105:10] = False  # ten more wrong
    found = difference(right, other, seed=0)
    assert (found["points"], found["right alone"], found["the other right alone"]) == (1.0, 10, 0)
    low, high = found["95 %"]
    assert 0.3 < low < 0.6 and 1.4 < high < 1.8  # two independent shares of 90 % would give 2.7 to each side
    assert difference(right, other, seed=0) == found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_a_difference_turned_round_changes_its_sign(pairs: list[tuple[bool, bool]]) -> None:
    right, other = (torch.tensor(some) for some in zip(*pairs, strict=True))
    found, back = difference(right, other, 0), difference(other, right, 0)
    assert found["points"] == pytest.approx(-back["points"])
    low, high = found["95 %"]
    assert -100 <= low <= found["points"] <= high <= 100


def test_memory_is_the_programs_own() -> None:
    """This process has torch loaded; a child that does nothing must not inherit that."""
    nothing = card_costs.peak_of([sys.executable, "-c", "pass"])
    much = card_costs.peak_of([sys.executable, "-c", "x = bytearray(10**8)"])
    assert 1e6 < nothing < 8e7
    assert 0.9e8 < much - nothing < 1.3e8


def check_item(item: dict[str, Any]) -> None:
    """The core schema that pystac carries, and the extension's own model; what neither checks is asked for here."""
    JsonSchemaSTACValidator().validate_core(item, STACObjectType.ITEM, "1.1.0")
    properties = item["properties"]
    MLModelProperties.model_validate(properties)
    assert pystac.Item.from_dict(item).properties["mlm:framework"] == "PyTorch"
    known = {band["name"] for band in properties["bands"]}
    for entry in properties["mlm:input"]:
        assert set(entry["bands"]) <= known
        assert bool(entry["bands"]) == ("bands" in entry["input"]["dim_order"])
    models = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
    assert len(models) == 4 and all(asset["mlm:artifact_type"] for asset in models)
    classes = properties["mlm:output"][0]["classification:classes"]
    assert [row["value"] for row in classes] == list(range(properties["mlm:output"][0]["result"]["shape"][1]))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def tiny_item(measured: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    bundle = open_bundle(measured[0])
    return json.loads(json.dumps(card_stac.item(bundle, open_adapter(bundle.part(ADAPTER), bundle), measured[1])))


@pytest.mark.usefixtures("no_network")
def test_the_item_is_valid(tiny_item: dict[str, Any], measured: tuple[Path, dict[str, Any]]) -> None:
    check_item(tiny_item)
    for asset in tiny_item["assets"].values():
        name = asset["href"].removeprefix("./")
        assert (measured[0] / name).exists() or name in ("README.md", "metrics.json")
    assert tiny_item["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 3, 32, 32]
    assert tiny_item["properties"]["mlm:total_parameters"] == measured[1]["size"]["all"]["weights"]


BREAK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no date": lambda item: item["properties"].pop("datetime"),
    "no bands at an asset": lambda item: [asset.pop("bands", None) for asset in item["assets"].values()],
    "no name": lambda item: item["properties"].pop("mlm:name"),
    "unknown task": lambda item: item["properties"]["mlm:tasks"].append("tile-guessing"),
    "shape and order differ": lambda item: item["properties"]["mlm:input"][0]["input"]["shape"].pop(),
    "no architecture": lambda item: item["properties"].pop("mlm:architecture"),
    "unknown type": lambda item: item["properties"]["mlm:output"][0]["result"].update(data_type="float31"),
    "no links": lambda item: item.pop("links"),
}


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("fault", BREAK)
def test_a_broken_item_is_found(tiny_item: dict[str, Any], fault: str) -> None:
    BREAK[fault](tiny_item)
    with pytest.raises((STACValidationError, ValidationError)):
        check_item(tiny_item)


def test_the_embedded_card_is_made_of_its_metrics() -> None:
    folder = embedded_bundle()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert (folder / "README.md").read_text(encoding="utf-8") == card_text.card(metrics)


@pytest.mark.usefixtures("no_network")
def test_the_embedded_item_is_valid_and_of_this_bundle() -> None:
    folder = embedded_bundle()
    item = json.loads((folder / "mlm.json").read_text(encoding="utf-8"))
    check_item(item)
    assert all((folder / asset["href"]).is_file() for asset in item["assets"].values())
    bundle = open_bundle(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    made = card_stac.item(bundle, open_adapter(bundle.part(ADAPTER), bundle), metrics)
    version = "mlm:framework_version"  # of the machine that measured
    assert item["properties"] | {version: ""} == made["properties"] | {version: ""}


def test_the_embedded_charts_open_and_are_small() -> None:
    folder = embedded_bundle()
    for name in (*CHARTS, "training-clip.png", "training-captioner.png"):
        with Image.open(folder / name) as image:
            image.load()
        assert (folder / name).stat().st_size < LIMIT
