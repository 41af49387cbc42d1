"""Which bands of a scene the views are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from bimors_cli.bundle.adapter_views import AdapterViews, BandIdentity
from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.views import VIEWS
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.pipeline.scene_views import (
    adapter_views,
    available_views,
    data_bands,
    false_colour_bands,
    match_bands,
    with_views,
)
from bimors_cli.scene.bands import Bands
from tests.conftest import MakeRaster

NAMES = ("blue", "green", "red", "nir")


@pytest.fixture
def plan(make_raster: MakeRaster) -> object:
    def make(
        names: Sequence[str | None] = NAMES, *, count: int | None = None, name: str = "scene.tif", **how: object
    ) -> ScenePlan:
        bands = count or len(names)
        data = np.random.default_rng(0).integers(1, 4000, (bands, 24, 24), dtype=np.uint16)
        path = make_raster(data if "palette" not in how else data[:1].astype(np.uint8), name=name, **how)
        with rasterio.open(path, "r+") as dataset:
            if "palette" not in how:
                dataset.descriptions = [*names, *[None] * (bands - len(names))]
                dataset.scales = [0.5] * bands
        return plan_scenes([path], ClassifyOptions(scenes=(path,), tile_size="8"))[0]

    return make


def trained(*names: str | None) -> AdapterViews:
    return AdapterViews(("bands",), tuple(BandIdentity(index, name) for index, name in enumerate(names, 1)))


def test_bands_are_found_by_name(plan) -> None:  # type: ignore[no-untyped-def]
    info = plan(("nir", "red", "quality", "blue", "green")).info
    assert match_bands(info, trained("blue", "red", "nir"), "coast") == (4, 2, 1)


def test_a_missing_band_is_named(plan) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"scene.tif has no band nir, swir1, which coast was trained on") as error:
        match_bands(plan(("blue", "green", "red")).info, trained("red", "nir", "swir1"), "coast")
    assert "blue, green, red" in str(error.value.hint)
    with pytest.raises(InputError, match="no band swir1"):  # as many bands, all of which are known
        match_bands(plan().info, trained("blue", "green", "red", "swir1"), "coast")


def test_bands_without_names_are_in_order(plan) -> None:  # type: ignore[no-untyped-def]
    info = plan((None,) * 4).info
    assert match_bands(info, trained(None, "red", None, "nir"), "coast") == (1, 2, 3, 4)
    assert match_bands(info, trained("blue", "green", "red", "nir"), "coast") == (1, 2, 3, 4)
    with pytest.raises(InputError, match=r"scene.tif has 4 bands, but coast was trained on 3: band 1, band 2, red"):
        match_bands(info, trained(None, None, "red"), "coast")


def test_known_bands_in_another_order_are_not_taken_for_others(plan) -> None:  # type: ignore[no-untyped-def]
    info = plan(("red", "green", "blue", None)).info
    assert match_bands(info, trained("red", "green", "blue", "nir"), "coast") == (1, 2, 3, 4)
    with pytest.raises(InputError, match=r"band 1 of scene.tif is red, but coast was trained on blue there"):
        match_bands(info, trained(*NAMES), "coast")


def test_alpha_and_palettes_are_no_data(plan) -> None:  # type: ignore[no-untyped-def]
    bands = data_bands(plan(("red", "green", "blue"), count=4, colorinterp=["red", "green", "blue", "alpha"]).info)
    assert [str(band) for band in bands] == ["red", "green", "blue"]
    scene = plan(palette={1: (1, 2, 3, 255)}, name="palette.tif")
    assert data_bands(scene.info) == () and available_views([scene]) == ("image", "around")
    with pytest.raises(InputError, match="has 0 bands"):
        match_bands(scene.info, trained("red"), "coast")


@pytest.mark.parametrize(
    "names, shown, expected",
    [
        (NAMES, (3, 2, 1), (3, 2, 1)), (("blue", "green", "red", "nir narrow"), (3, 2, 1), (3, 2, 1)),
        ((None,) * 5, (1, 2, 3), (3, 0, 1)), ((None,) * 5, (4,), (0, 3, 3)), (NAMES[:3], (3, 2, 1), ()),
        ((None,) * 2, (1,), ()),
    ],
)  # fmt: skip
def test_false_colours(names: Sequence[str | None], shown: Sequence[int], expected: tuple[int, ...]) -> None:
    assert false_colour_bands(trained(*names).bands, shown) == expected


def test_views_of_scenes(plan) -> None:  # type: ignore[no-untyped-def]
    first, second = plan(), plan(("nir", "red", "green", "blue"), name="second.tif")
    names = available_views([first, second])
    assert names == ("bands", "bands-around", "image", "false-colour", "around") and set(names) < set(VIEWS)
    views = adapter_views(names, [first, second], 10.0)
    assert [band.name for band in views.bands] == list(NAMES)
    assert [views.bands[position].name for position in views.false_colour] == ["nir", "red", "green"]
    assert AdapterViews.from_json(views.to_json()) == views
    with pytest.raises(InputError, match=r"scene.tif has no band nir, which second.tif was trained on"):
        adapter_views(names, [second, plan(("blue", "green", "red", "swir1"))])
    # Images alone need no bands, whatever the scenes say of theirs.
    unknown = [plan((None,) * 4, name="a.tif"), plan((None,) * 5, name="b.tif")]
    assert adapter_views(("image", "around"), unknown).bands == ()


def test_a_scene_is_read_with_what_views_need(plan) -> None:  # type: ignore[no-untyped-def]
    scene, other = plan(), plan(("nir", "red", "green", "blue"), name="other.tif")
    views = adapter_views(available_views([scene]), [scene])
    found = with_views(other, views, "coast").view_inputs
    assert found is not None and found.statistics is not None and found.false_colour is not None
    assert found.statistics.indexes == (4, 3, 2, 1) and found.statistics.scales == (0.5,) * 4
    assert found.statistics.names == NAMES
    assert found.numbers == ("bands", "bands-around") and found.images == ("false-colour", "around")
    bands, stretch = found.false_colour
    assert bands == Bands((1, 2, 3)) and stretch.kind == "percentile"
    ranged = with_views(other, views, "coast", "0,5000").view_inputs
    assert ranged is not None and ranged.false_colour is not None and ranged.false_colour[1].high == (5000,) * 3
    assert with_views(other, AdapterViews(("image", "names")), "coast") is other
    around = with_views(other, AdapterViews(("around",)), "coast").view_inputs
    assert around is not None and around.statistics is None and around.images == ("around",)
    assert with_views(other, replace(views, names=("bands",)), "coast").identity() != other.identity()
