"""--captions auto: captions are made where labels need them, and written where they describe something."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
from affine import Affine

import bimors_cli
from bimors_cli.bundle.adapter import Adapter, read_adapter
from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.captions import ALL, AUTO, NONE
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.caption_use import resolve_captions
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import Plan
from tests import api
from tests.conftest import MakeRaster
from tests.pipeline.domains import LIKE, UNLIKE, with_domain

LABELS = ("forest", "river")
Classify = Callable[..., geopandas.GeoDataFrame]


@pytest.fixture(scope="module")
def like(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return with_domain(tiny_bundle, tmp_path_factory.mktemp("like") / "tiny", LIKE)


@pytest.fixture(scope="module")
def unlike(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return with_domain(tiny_bundle, tmp_path_factory.mktemp("unlike") / "tiny", UNLIKE)


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))


@pytest.fixture
def fine_scene(make_raster: MakeRaster) -> str:
    """Pixels of 2.5 m, which `unlike` was trained on."""
    pixels = np.random.default_rng(1).integers(1, 256, (3, 64, 64), dtype=np.uint8)
    return make_raster(pixels, name="fine.tif", transform=Affine(2.5, 0, 500_000, 0, -2.5, 4_600_000))


def plan(bundle: Bundle, *scenes: str, **options: Any) -> Plan:
    known: dict[str, Any] = {"model": str(bundle.folder), "tile_size": "32"}
    return make_plan(ClassifyOptions(scenes=scenes, labels=Labels.of(LABELS), **{**known, **options}))


@pytest.fixture
def classify(tmp_path: Path) -> Classify:
    def run(bundle: Bundle, *scenes: str, name: str = "out.gpkg", **options: Any) -> geopandas.GeoDataFrame:
        known: dict[str, Any] = {"model": str(bundle.folder), "tile_size": "32", "device": "cpu"}
        api.classify(scenes, LABELS, tmp_path / name, **{**known, **options})
        return geopandas.read_file(tmp_path / name, layer="tiles")

    return run


def labelled(layer: geopandas.GeoDataFrame) -> pd.DataFrame:
    return pd.DataFrame(layer[["tile_id", "label", "confidence"]])


@pytest.fixture
def linear(tiny_bundle: Bundle, tmp_path: Path) -> Adapter:
    """An adapter whose head uses no captions, as far as a plan knows."""
    folder = Path(shutil.copytree(tiny_bundle.part(ADAPTER), tmp_path / "linear"))
    content = json.loads((folder / "adapter.json").read_text())
    (folder / "adapter.json").write_text(json.dumps({**content, "name": "linear", "head": "linear"}))
    return read_adapter(folder)


@pytest.mark.parametrize(
    ("mode", "head", "own", "outside", "made", "written", "key", "resolved"),
    [
        ("all", "bimors", True, [None], True, [True], True, ALL),
        ("all", "linear", True, ["a"], True, [True], True, ALL),
        ("none", "bimors", False, ["a", None], False, [False, False], False, NONE),
        ("auto", "bimors", False, [None, None], True, [True, True], True, ALL),
        ("auto", "bimors", False, ["a"], True, [False], [False], AUTO),
        ("auto", "bimors", True, ["a", None], True, [False, True], [False, True], AUTO),
        ("auto", "linear", True, [None], False, [False], False, NONE),
        ("auto", "linear", False, [None], True, [True], True, ALL),
        ("auto", None, False, [None], True, [True], True, ALL),
        ("auto", None, False, ["a", "b"], False, [False, False], False, NONE),
        ("auto", None, False, ["a", None], True, [False, True], [False, True], AUTO),
    ],
)
def test_what_auto_comes_to(
    mode: str,
    head: str | None,
    own: bool,
    outside: list[str | None],
    made: bool,
    written: list[bool],
    key: Any,
    resolved: str,
    tiny_bundle: Bundle,
) -> None:
    adapter = None if head is None else replace(read_adapter(tiny_bundle.part(ADAPTER)), head=head)
    use = resolve_captions(mode, adapter, own=own, outside=outside)
    assert (use.made, list(use.written), use.row_key, use.mode) == (made, written, key, resolved)
    assert (use.reason is None) == (mode != "auto" or all(written))


def test_python_accepts_true_and_false() -> None:
    modes = [ClassifyOptions(captions=value).captions for value in (True, False, "auto", "all", "none")]
    assert modes == ["all", "none", "auto", "all", "none"] and ClassifyOptions().captions == "auto"
    assert ClassifyOptions(captions=False) == ClassifyOptions(captions="none")
    with pytest.raises(InputError, match="--captions some: unknown value") as caught:
        ClassifyOptions(captions="some")
    assert "auto, all, none" in str(caught.value.hint)


def test_a_bundle_without_a_domain_is_as_before(scene: str, tiny_bundle: Bundle, classify: Classify) -> None:
    assert plan(tiny_bundle, scene).run_key()["captions"] is True
    assert plan(tiny_bundle, scene).domain_warning() is None
    assert classify(tiny_bundle, scene)["caption"].notna().all()


def test_equal_rows_have_equal_keys(scene: str, like: Bundle, unlike: Bundle, linear: Adapter) -> None:
    auto = plan(like, scene).run_key()
    assert auto == plan(like, scene, captions="all").run_key() == plan(like, scene, captions=True).run_key()
    zero = plan(unlike, scene, head="zero-shot").run_key()
    assert zero == plan(unlike, scene, head="zero-shot", captions="none").run_key()
    own = plan(like, scene, adapter=str(linear.folder)).run_key()
    assert own == plan(like, scene, adapter=str(linear.folder), captions=False).run_key()
    keys = [plan(unlike, scene, captions=mode).run_key()["captions"] for mode in ("auto", "all", "none")]
    assert keys == [[False], True, False]


def test_captions_of_another_kind_of_scene_decide_labels_but_are_not_written(
    scene: str, unlike: Bundle, classify: Classify
) -> None:
    auto, every, none = (classify(unlike, scene, name=f"{m}.gpkg", captions=m) for m in ("auto", "all", "none"))
    assert auto["caption"].isna().all() and every["caption"].notna().all() and none["caption"].isna().all()
    assert labelled(auto).equals(labelled(every)) and not labelled(auto).equals(labelled(none))


def test_the_captioner_does_not_run_for_nothing(
    scene: str, unlike: Bundle, classify: Classify, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bimors_cli.model.captioner import Captioner

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a captioner")

    monkeypatch.setattr(Captioner, "load", refuse)
    assert classify(unlike, scene, head="zero-shot")["caption"].isna().all()
    with pytest.raises(AssertionError, match="a captioner"):
        classify(unlike, scene, name="b.gpkg", head="zero-shot", captions="all")


def test_plain_clip_without_captions_loads_no_caption_encoder(
    scene: str, unlike: Bundle, classify: Classify, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bimors_cli.model.caption_encoder import CaptionEncoder

    every = classify(unlike, scene, head="zero-shot", captions="all")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a caption encoder")

    monkeypatch.setattr(CaptionEncoder, "load", refuse)
    none = classify(unlike, scene, name="none.gpkg", head="zero-shot", captions="none")
    assert labelled(none).equals(labelled(every))
    for options in ({"head": "zero-shot", "captions": "all"}, {"captions": "none"}):
        with pytest.raises(AssertionError, match="a caption encoder"):
            classify(unlike, scene, name="c.gpkg", **options)


def test_two_kinds_of_scenes_in_one_run(scene: str, fine_scene: str, unlike: Bundle, classify: Classify) -> None:
    for name, options in {"a": {}, "b": {"head": "zero-shot"}, "c": {"vote": True, "overlap": "50%"}}.items():
        layer = classify(unlike, scene, fine_scene, name=f"{name}.gpkg", **options)
        missing = layer["caption"].isna().groupby(layer["scene"]).all()
        assert missing.to_dict() == {"fine.tif": False, "scene.tif": True}
        assert layer.loc[layer["scene"] == "fine.tif", "caption"].notna().all()


def test_the_summary_says_why_the_column_is_null(scene: str, unlike: Bundle, linear: Adapter, tmp_path: Path) -> None:
    how: dict[str, Any] = {"model": str(unlike.folder), "tile_size": "32", "device": "cpu"}
    lines = list(api.classify(scene, LABELS, tmp_path / "a.gpkg", **how).lines(lambda seconds: ""))
    assert any("no captions are written of scene.tif" in line and "--captions all" in line for line in lines)
    reason = plan(unlike, scene, adapter=str(linear.folder)).captions.reason
    assert reason is not None and "the adapter linear does not use them" in reason


def test_a_run_warns_once_and_its_layer_records_it(
    scene: str, fine_scene: str, unlike: Bundle, like: Bundle, classify: Classify, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with caplog.at_level(logging.WARNING):
        classify(unlike, scene, fine_scene, captions=False)
    (warning,) = (record.getMessage() for record in caplog.records if "was trained on" in record.getMessage())
    assert warning == (
        "scene.tif: pixels of 10 m; tiny was trained on pixels of 0.5 to 2 m: expect poor labels without examples; "
        "bimors finetune needs a few polygons"
    )
    assert json.loads(read_provenance(tmp_path / "out.gpkg", "tiles")["warnings"]) == [warning]
    caplog.clear()
    classify(like, scene, name="b.gpkg", captions=False)
    assert not caplog.records and "warnings" not in read_provenance(tmp_path / "b.gpkg", "tiles")


def test_an_adapter_of_the_user_has_learned_its_own_domain(scene: str, unlike: Bundle) -> None:
    assert plan(unlike, scene).domain_warning() is not None
    assert plan(unlike, scene, head="zero-shot").domain_warning() is not None
    assert plan(unlike, scene, adapter=str(unlike.part(ADAPTER))).domain_warning() is None


def test_a_shard_records_what_captions_came_to(scene: str, like: Bundle, unlike: Bundle, tmp_path: Path) -> None:
    """Earlier versions read true and false; what they cannot do keeps its new name."""
    for number, (bundle, mode, recorded) in enumerate(
        [(like, "auto", True), (like, "none", False), (unlike, "auto", "auto"), (unlike, "all", True)]
    ):
        output = tmp_path / f"{number}.gpkg"
        how: dict[str, Any] = {"model": str(bundle.folder), "tile_size": "32", "device": "cpu", "captions": mode}
        journals = [api.classify(scene, LABELS, output, shard=f"{k}/2", **how).output for k in (1, 2)]
        header = json.loads(Path(journals[0]).read_text().splitlines()[0][9:])
        assert header["options"]["captions"] == recorded
        api.merge(output, journals)
        assert geopandas.read_file(output, layer="tiles")["caption"].notna().all() == (recorded is True)


def test_the_report_says_what_captions_were_for(
    scene: str, fine_scene: str, unlike: Bundle, classify: Classify, tmp_path: Path
) -> None:
    for name, scenes, said in (("a", (scene,), "for the labels only"), ("b", (scene, fine_scene), "in 1 of 2 scenes")):
        classify(unlike, *scenes, name=f"{name}.gpkg")
        page = bimors_cli.report(tmp_path / f"{name}.gpkg", tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert said in page
