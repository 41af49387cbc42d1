"""The plan of a run: every scene checked, cut and stretched, the output's place settled, before any model is loaded."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS

from bimors_cli.bundle.adapter import Adapter, open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.model.names import new_names
from bimors_cli.output.formats import GPKG, Format, find_format, guess_format, with_separators
from bimors_cli.pipeline.options import ClassifyOptions, LayerOptions, LookOptions, SceneOptions
from bimors_cli.scene.aoi import read_aoi, tile_mask
from bimors_cli.scene.bands import Bands, choose_bands
from bimors_cli.scene.gdal import file_name
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import Nodata, parse_nodata
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.raster import SceneInfo, open_scene, parse_crs
from bimors_cli.scene.size import make_grid, parse_overlap, parse_tile_size
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch

log = logging.getLogger("bimors")

WGS84 = "EPSG:4326"

AnyScene = TypeVar("AnyScene", bound="CutScene")


@dataclass(frozen=True)
class CutScene:
    """A scene, cut into tiles. ``inside`` bool [tiles] tells which tiles the AOI holds; None without an AOI."""

    info: SceneInfo
    grid: Grid
    inside: npt.NDArray[np.bool_] | None = None
    aoi_sha256: str | None = None

    def __len__(self) -> int:
        """Count the tiles to look at."""
        return len(self.grid) if self.inside is None else int(self.inside.sum())

    def is_inside(self, index: int) -> bool:
        """Tell whether the AOI holds a tile."""
        return self.inside is None or bool(self.inside[index])

    def line(self) -> str:
        """Say how it is cut."""
        grid = self.grid
        return (
            f"{self.info.name}: {grid.rows} rows x {grid.cols} columns of tiles, each {grid.tile_width} x "
            f"{grid.tile_height} px" + (f", {len(self):,} in the AOI" if self.inside is not None else "")
        )

    def identity(self) -> dict[str, Any]:
        """What decides its tiles."""
        info, grid = self.info, self.grid
        return {
            "name": info.name,
            "size": info.size_bytes,
            "modified": info.mtime_ns,
            "pixels": [info.width, info.height],
            "crs": info.crs.to_wkt(),
            "transform": list(info.transform)[:6],
            "tile": [grid.tile_width, grid.tile_height],
            "stride": [grid.stride_x, grid.stride_y],
            "aoi": self.aoi_sha256,
        }


@dataclass(frozen=True, kw_only=True)
class ScenePlan(CutScene):
    """One scene of a run: how it is cut, and how its pixels become pictures."""

    bands: Bands
    stretch: Stretch
    nodata: Nodata

    def identity(self) -> dict[str, Any]:
        """What decides its tiles and their pictures."""
        return {
            **super().identity(),
            "bands": self.bands.indexes,
            "stretch": [self.stretch.kind, self.stretch.low, self.stretch.high],
            "nodata": str(self.nodata),
        }


@dataclass(frozen=True)
class LayerPlan:
    """A layer of tiles that can be written: ``output`` is the file, `STDOUT` the stream; ``crs`` that of the layer."""

    options: LayerOptions
    scenes: tuple[CutScene, ...]
    output: Path
    format: Format
    crs: CRS

    def __len__(self) -> int:
        return sum(map(len, self.scenes))

    def decides_rows(self) -> dict[str, Any]:
        """Everything that decides the rows of the layer, as JSON values: two runs that share it have equal rows."""
        # As they come back from a journal or a layer: tuples become lists.
        return dict(json.loads(json.dumps(self._decides_rows())))

    def _decides_rows(self) -> dict[str, Any]:
        o = self.options
        return {
            "scenes": [scene.identity() for scene in self.scenes],
            "tile size": o.tile_size,
            "overlap": o.overlap,
            "aoi rule": o.aoi_rule,
            "format": self.format.name,
            "layer": o.layer,
            "crs": self.crs.to_string(),
        }


@dataclass(frozen=True)
class LookPlan(LayerPlan):
    """A run that can start: the models of a bundle look at the tiles."""

    options: LookOptions
    scenes: tuple[ScenePlan, ...]
    bundle: Bundle

    def _decides_rows(self) -> dict[str, Any]:
        return {
            **super()._decides_rows(),
            "model": {"name": self.bundle.name, "sha256": self.bundle.sha256},
            "min valid": self.options.min_valid,
            "keep empty": self.options.keep_empty,
        }


@dataclass(frozen=True)
class Plan(LookPlan):
    """A run of classify that can start."""

    options: ClassifyOptions
    adapter: Adapter | None

    def unknown_words(self) -> dict[str, tuple[str, ...]]:
        """Return the words that the bundle never saw, by label; labels without any are left out."""
        found = {name: self.bundle.unknown_words(name) for name in self.options.labels.names}
        return {name: words for name, words in found.items() if words}

    def new_labels(self) -> tuple[str, ...]:
        """Return the labels that the adapter was not trained on; none without an adapter."""
        return () if self.adapter is None else new_names(self.options.labels.names, self.adapter.labels)

    def _decides_rows(self) -> dict[str, Any]:
        o = self.options
        return {
            **super()._decides_rows(),
            "labels": list(o.labels.names),
            "adapter": None if self.adapter is None else {"name": self.adapter.name, "sha256": self.adapter.sha256},
            "head": "zero-shot" if self.adapter is None else self.adapter.head,
            "captions": o.captions,
            "min confidence": o.min_confidence,
            "top k": o.top_k,
            "probabilities": o.probabilities,
            **({"features": True} if o.keep_features else {}),
        }


def make_plan(options: ClassifyOptions) -> Plan:
    """Check everything that can be checked without a model.

    Raises
    ------
    InputError
        A scene, the AOI, a size, a band, a CRS, a format cannot be used; scenes do not go together.
    BundleError
        The bundle or the adapter cannot be used.
    ReadError
        The pixels that the stretch needs cannot be read.
    """
    planned = look_plan(options)
    adapter = None if options.head == "zero-shot" else _adapter(options.adapter, planned.bundle)
    if options.keep_features and planned.format is not GPKG:
        raise InputError("--keep-features: only a GeoPackage holds image features", "-o FILE.gpkg")
    return Plan(options, planned.scenes, planned.output, planned.format, planned.crs, planned.bundle, adapter)


def look_plan(options: LookOptions) -> LookPlan:
    """Check everything that can be checked without a model, whatever is asked about tiles; raises as `make_plan`."""
    output, form = _output(options)
    scenes = tuple(_inside(plan_scenes(options.scenes, options), options))
    bundle = open_bundle(find_bundle(options.model))
    return LookPlan(options, scenes, output, form, _layer_crs(scenes, options, form), bundle)


def layer_plan(options: LayerOptions) -> LayerPlan:
    """Cut scenes into tiles, and settle where these go; no pixel is read.

    Raises
    ------
    InputError
        A scene, the AOI, a size, a CRS, a format cannot be used; scenes do not go together.
    """
    output, form = _output(options)
    cut = tuple(_cut_scene(path, options) for path in options.scenes)
    _check_together(cut)
    scenes = tuple(_inside(cut, options))
    return LayerPlan(options, scenes, output, form, _layer_crs(scenes, options, form))


def plan_scenes(paths: Sequence[str], options: SceneOptions) -> tuple[ScenePlan, ...]:
    """Open scenes, check that they go together, and settle how each is cut and shown to the model.

    Raises
    ------
    InputError
        A scene, a size, a band, a CRS cannot be used; two scenes have one name.
    ReadError
        The pixels that the stretch needs cannot be read.
    """
    scenes = tuple(_plan_scene(path, options) for path in paths)
    _check_together(scenes)
    return scenes


def _output(options: LayerOptions) -> tuple[Path, Format]:
    if options.output is None:
        suffix = GPKG.suffix if options.format is None else find_format(options.format).suffix
        stem = Path(file_name(options.scenes[0])).stem if len(options.scenes) == 1 else "bimors"
        path = Path(stem + suffix)
    else:
        path = Path(options.output)
    form = guess_format(path, options.format)
    if options.rs:
        form = with_separators(form)
    if options.append and form is not GPKG:
        raise InputError(f"--append adds a layer to a GeoPackage; {form.name} holds one layer only", "use -o FILE.gpkg")
    return path, form


def _plan_scene(path: str, options: SceneOptions) -> ScenePlan:
    nodata = parse_nodata(options.nodata)
    with open_scene(path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
        cut = _cut(scene.info, options)
        bands = choose_bands(scene.info, options.bidx or None)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
    return ScenePlan(cut.info, cut.grid, bands=bands, stretch=stretch, nodata=nodata)


def _cut_scene(path: str, options: SceneOptions) -> CutScene:
    with open_scene(path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
        return _cut(scene.info, options)


def _cut(info: SceneInfo, options: SceneOptions) -> CutScene:
    grid = make_grid(info, parse_tile_size(options.tile_size), parse_overlap(options.overlap))
    if not info.is_placed:
        log.warning("%s has no position: its pixels are taken for map units", info.name)
    return CutScene(info, grid)


def _adapter(folder: str | None, bundle: Bundle) -> Adapter | None:
    """Open the adapter that was asked for, else the bundle's own; None for a bundle that has none."""
    if folder is not None:
        return open_adapter(Path(folder), bundle)
    if bundle.part(ADAPTER).is_dir():
        return open_adapter(bundle.part(ADAPTER), bundle)
    log.warning("%s has no adapter: it answers zero-shot", bundle.name)
    return None


def _inside(scenes: Sequence[AnyScene], options: LayerOptions) -> Iterator[AnyScene]:
    """Restrict scenes to the AOI, if there is one."""
    if options.aoi is None:
        yield from scenes
        return
    restricted = [_restrict(scene, options.aoi, options.aoi_rule, alone=len(scenes) == 1) for scene in scenes]
    if not any(map(len, restricted)):
        raise InputError(f"{options.aoi}: no tile of any scene is in it", "try --aoi-rule any, or smaller tiles")
    yield from restricted


def _restrict(scene: AnyScene, spec: str, rule: str, *, alone: bool) -> AnyScene:
    aoi = read_aoi(spec, scene.info, allow_miss=not alone)
    inside = tile_mask(aoi, tile_polygons(scene.grid, scene.info.transform), rule)  # type: ignore[arg-type]
    digest = hashlib.sha256(shapely.to_wkb(shapely.normalize(aoi.geometry))).hexdigest()
    return replace(scene, inside=inside, aoi_sha256=digest)


def _check_together(scenes: Sequence[CutScene]) -> None:
    stems: dict[str, str] = {}
    for scene in scenes:
        if scene.info.stem in stems:
            raise InputError(
                f"{scene.info.path} and {stems[scene.info.stem]} have one name: their tiles would have equal ids",
                "rename one of them, or take them in two runs",
            )
        stems[scene.info.stem] = scene.info.path


def _layer_crs(scenes: Sequence[CutScene], options: LayerOptions, form: Format) -> CRS:
    wanted = options.dst_crs or (WGS84 if form.wgs84 else None)
    if wanted is not None:
        crs = parse_crs(wanted, "--dst-crs")
        if form.wgs84 and crs != CRS.from_user_input(WGS84):
            raise InputError(f"--dst-crs {wanted}: {form.name} holds WGS 84 only", "write a .gpkg, or leave it out")
        return crs
    first = scenes[0].info
    for scene in scenes[1:]:
        if scene.info.crs != first.crs:
            raise InputError(
                f"{scene.info.name} is in {_short(scene.info.crs)}, {first.name} in {_short(first.crs)}",
                "name the layer's CRS with --dst-crs, or take them in two runs",
            )
    return first.crs


def _short(crs: CRS) -> str:
    return str(crs.to_string())[:60]
