"""The plan of a run: every scene checked, cut and stretched, the output's place settled, before any model is loaded."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.bundle.adapter import Adapter, open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.model.names import new_names
from bimors_cli.output.formats import STDOUT, Format, guess_format
from bimors_cli.pipeline.options import ClassifyOptions, SceneOptions
from bimors_cli.scene.aoi import read_aoi, tile_mask
from bimors_cli.scene.bands import Bands, choose_bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import Nodata, parse_nodata
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.raster import SceneInfo, open_scene
from bimors_cli.scene.size import make_grid, parse_overlap, parse_tile_size
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch

log = logging.getLogger("bimors")

WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class ScenePlan:
    """One scene of a run. ``inside`` bool [tiles] tells which tiles the AOI holds; None without an AOI."""

    info: SceneInfo
    grid: Grid
    bands: Bands
    stretch: Stretch
    nodata: Nodata
    inside: npt.NDArray[np.bool_] | None = None
    aoi_sha256: str | None = None

    def __len__(self) -> int:
        """Count the tiles to look at."""
        return len(self.grid) if self.inside is None else int(self.inside.sum())

    def is_inside(self, index: int) -> bool:
        """Tell whether the AOI holds a tile."""
        return self.inside is None or bool(self.inside[index])


@dataclass(frozen=True)
class Plan:
    """A run that can start: ``output`` is the file, `STDOUT` the stream; ``crs`` that of the layer."""

    options: ClassifyOptions
    scenes: tuple[ScenePlan, ...]
    bundle: Bundle
    adapter: Adapter | None
    output: Path
    format: Format
    crs: CRS

    def __len__(self) -> int:
        return sum(map(len, self.scenes))

    def unknown_words(self) -> dict[str, tuple[str, ...]]:
        """Return the words that the bundle never saw, by label; labels without any are left out."""
        found = {name: self.bundle.unknown_words(name) for name in self.options.labels.names}
        return {name: words for name, words in found.items() if words}

    def new_labels(self) -> tuple[str, ...]:
        """Return the labels that the adapter was not trained on; none without an adapter."""
        return () if self.adapter is None else new_names(self.options.labels.names, self.adapter.labels)

    def decides_rows(self) -> dict[str, Any]:
        """Everything that decides the rows of the layer, as JSON values: two runs that share it have equal rows."""
        o = self.options
        values = {
            "scenes": [_identity(scene) for scene in self.scenes],
            "labels": list(o.labels.names),
            "model": {"name": self.bundle.name, "sha256": self.bundle.sha256},
            "adapter": None if self.adapter is None else {"name": self.adapter.name, "sha256": self.adapter.sha256},
            "head": "zero-shot" if self.adapter is None else self.adapter.head,
            "captions": o.captions,
            "tile size": o.tile_size,
            "overlap": o.overlap,
            "min valid": o.min_valid,
            "aoi rule": o.aoi_rule,
            "min confidence": o.min_confidence,
            "top k": o.top_k,
            "probabilities": o.probabilities,
            "keep empty": o.keep_empty,
            "format": self.format.name,
            "layer": o.layer,
            "crs": self.crs.to_string(),
        }
        # As they come back from a journal or a layer: tuples become lists.
        return dict(json.loads(json.dumps(values)))


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
    output, form = _output(options)
    if options.aoi_rule not in ("centre", "any", "within"):
        raise InputError(f"--aoi-rule {options.aoi_rule}: unknown", "use centre, any or within")
    scenes = plan_scenes(options.scenes, options)
    if options.aoi is not None:
        scenes = tuple(_restrict(scene, options.aoi, options.aoi_rule, alone=len(scenes) == 1) for scene in scenes)
        if not any(map(len, scenes)):
            raise InputError(f"{options.aoi}: no tile of any scene is in it", "try --aoi-rule any, or smaller tiles")
    bundle = open_bundle(find_bundle(options.model))
    adapter = None if options.head == "zero-shot" else _adapter(options.adapter, bundle)
    return Plan(options, scenes, bundle, adapter, output, form, _layer_crs(scenes, options, form))


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


def _output(options: ClassifyOptions) -> tuple[Path, Format]:
    if options.output == str(STDOUT):
        return STDOUT, guess_format(STDOUT, options.format)
    if options.output is None:
        from bimors_cli.scene.gdal import file_name

        suffix = guess_format(STDOUT, options.format).suffix if options.format not in (None, "GPKG") else ".gpkg"
        stem = Path(file_name(options.scenes[0])).stem if len(options.scenes) == 1 else "bimors"
        path = Path(stem + suffix)
    else:
        path = Path(options.output)
    return path, guess_format(path, options.format)


def _plan_scene(path: str, options: SceneOptions) -> ScenePlan:
    nodata = parse_nodata(options.nodata)
    with open_scene(path, assume_crs=options.assume_crs) as scene:
        grid = make_grid(scene.info, parse_tile_size(options.tile_size), parse_overlap(options.overlap))
        bands = choose_bands(scene.info, options.bidx or None)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
    if not scene.info.is_placed:
        log.warning("%s has no position: its pixels are taken for map units", scene.info.name)
    return ScenePlan(scene.info, grid, bands, stretch, nodata)


def _adapter(folder: str | None, bundle: Bundle) -> Adapter | None:
    """Open the adapter that was asked for, else the bundle's own; None for a bundle that has none."""
    if folder is not None:
        return open_adapter(Path(folder), bundle)
    if bundle.part(ADAPTER).is_dir():
        return open_adapter(bundle.part(ADAPTER), bundle)
    log.warning("%s has no adapter: it answers zero-shot", bundle.name)
    return None


def _restrict(scene: ScenePlan, spec: str, rule: str, *, alone: bool) -> ScenePlan:
    aoi = read_aoi(spec, scene.info, allow_miss=not alone)
    inside = tile_mask(aoi, tile_polygons(scene.grid, scene.info.transform), rule)  # type: ignore[arg-type]
    digest = hashlib.sha256(shapely.to_wkb(shapely.normalize(aoi.geometry))).hexdigest()
    return replace(scene, inside=inside, aoi_sha256=digest)


def _check_together(scenes: tuple[ScenePlan, ...]) -> None:
    stems: dict[str, str] = {}
    for scene in scenes:
        if scene.info.stem in stems:
            raise InputError(
                f"{scene.info.path} and {stems[scene.info.stem]} have one name: their tiles would have equal ids",
                "rename one of them, or take them in two runs",
            )
        stems[scene.info.stem] = scene.info.path


def _layer_crs(scenes: tuple[ScenePlan, ...], options: ClassifyOptions, form: Format) -> CRS:
    wanted = options.dst_crs or (WGS84 if form.wgs84 else None)
    if wanted is not None:
        try:
            crs = CRS.from_user_input(wanted)
        except CRSError as error:
            raise InputError(f"--dst-crs {wanted}: not a CRS", "write it as EPSG:32615, or as WKT") from error
        if form.wgs84 and crs != CRS.from_user_input(WGS84):
            raise InputError(f"--dst-crs {wanted}: {form.name} holds WGS 84 only", "write a .gpkg, or leave it out")
        return crs
    first = scenes[0].info
    for scene in scenes[1:]:
        if scene.info.crs != first.crs:
            raise InputError(
                f"{scene.info.name} is in {_short(scene.info.crs)}, {first.name} in {_short(first.crs)}",
                "name the layer's CRS with --dst-crs, or classify them in two runs",
            )
    return first.crs


def _short(crs: CRS) -> str:
    return str(crs.to_string())[:60]


def _identity(scene: ScenePlan) -> dict[str, Any]:
    info, grid = scene.info, scene.grid
    return {
        "name": info.name,
        "size": info.size_bytes,
        "modified": info.mtime_ns,
        "pixels": [info.width, info.height],
        "crs": info.crs.to_wkt(),
        "transform": list(info.transform)[:6],
        "tile": [grid.tile_width, grid.tile_height],
        "stride": [grid.stride_x, grid.stride_y],
        "bands": scene.bands.indexes,
        "stretch": [scene.stretch.kind, scene.stretch.low, scene.stretch.high],
        "nodata": str(scene.nodata),
        "aoi": scene.aoi_sha256,
    }
