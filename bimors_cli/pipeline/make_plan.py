"""Planning a run: every scene checked, cut and stretched, the output's place settled, before any model is loaded."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import shapely
from rasterio.crs import CRS

from bimors_cli.bundle.adapter import Adapter, open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions, InferenceOptions, LayerOptions, SceneOptions
from bimors_cli.output.formats import GPKG, WGS84, Format, find_format, guess_format, with_separators
from bimors_cli.pipeline.plan import GriddedScene, InferencePlan, LayerPlan, Plan, ScenePlan
from bimors_cli.scene.aoi import read_aoi, tile_mask
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.gdal import file_name
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.raster import SceneInfo, open_scene, parse_crs
from bimors_cli.scene.size import make_grid, parse_overlap, parse_tile_size
from bimors_cli.scene.stretch import compute_stretch, parse_stretch
from bimors_cli.scene.vote_cells import cells_of, covering

log = logging.getLogger("bimors")


AnyScene = TypeVar("AnyScene", bound="GriddedScene")


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
    scenes = plan_scenes(options.scenes, options)
    cells = tuple(_inside(_in_cells(scenes, options), options)) if options.vote else None
    chosen = _inside(scenes, options) if cells is None else map(_that_cover, scenes, cells)
    planned = _look_plan(options, tuple(chosen), output, form)
    adapter = None if options.head == "zero-shot" else _adapter(options.adapter, planned.bundle)
    if options.templates and adapter is not None:
        raise InputError(
            f"--template: the adapter {adapter.name} answers, whose prompts are learned",
            "add --head zero-shot, or leave --template out",
        )
    if options.keep_features and not planned.format.keeps_features:
        raise InputError("--keep-features: only a GeoPackage holds image features", "-o FILE.gpkg")
    return Plan(options, planned.scenes, planned.output, planned.format, planned.crs, planned.bundle, adapter, cells)


def make_inference_plan(options: InferenceOptions) -> InferencePlan:
    """Check everything that can be checked without a model, whatever is asked about tiles; raises as `make_plan`."""
    output, form = _output(options)
    return _look_plan(options, tuple(_inside(plan_scenes(options.scenes, options), options)), output, form)


def make_layer_plan(options: LayerOptions) -> LayerPlan:
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


def _look_plan(options: InferenceOptions, scenes: tuple[ScenePlan, ...], output: Path, form: Format) -> InferencePlan:
    bundle = open_bundle(find_bundle(options.model))
    return InferencePlan(options, scenes, output, form, _layer_crs(scenes, options, form), bundle)


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
    if options.append and not form.appends:
        raise InputError(f"--append adds a layer to a GeoPackage; {form.name} holds one layer only", "use -o FILE.gpkg")
    return path, form


def _plan_scene(path: str, options: SceneOptions) -> ScenePlan:
    nodata = parse_nodata(options.nodata)
    with open_scene(path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
        cut = _cut(scene.info, options)
        bands = choose_bands(scene.info, options.bidx or None)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
    return ScenePlan(cut.info, cut.grid, bands=bands, stretch=stretch, nodata=nodata)


def _cut_scene(path: str, options: SceneOptions) -> GriddedScene:
    with open_scene(path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
        return _cut(scene.info, options)


def _cut(info: SceneInfo, options: SceneOptions) -> GriddedScene:
    grid = make_grid(info, parse_tile_size(options.tile_size), parse_overlap(options.overlap))
    if not info.has_geotransform:
        log.warning("%s has no position: its pixels are taken for map units", info.name)
    return GriddedScene(info, grid)


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


def _in_cells(scenes: Sequence[ScenePlan], options: SceneOptions) -> list[ScenePlan]:
    """Cut scenes into the cells that their tiles share."""
    grids = [scene.grid for scene in scenes]
    steps = any((grid.stride_x, grid.stride_y) != (grid.tile_width, grid.tile_height) for grid in grids)
    # A scene that is one tile has nothing to overlap with.
    if parse_overlap(options.overlap).value == 0 or not (steps or all(len(grid) == 1 for grid in grids)):
        raise InputError("--vote is of tiles that overlap, and these do not", "add --overlap 50%")
    return [replace(scene, grid=cells_of(scene.grid)) for scene in scenes]


def _that_cover(scene: ScenePlan, cells: ScenePlan) -> ScenePlan:
    """Restrict a scene to the tiles that cover what the AOI holds of its cells."""
    if cells.inside is None:
        return scene
    return replace(scene, inside=covering(scene.grid, cells.inside), aoi_sha256=cells.aoi_sha256)


def _restrict(scene: AnyScene, spec: str, rule: str, *, alone: bool) -> AnyScene:
    aoi = read_aoi(spec, scene.info, allow_miss=not alone)
    inside = tile_mask(aoi, tile_polygons(scene.grid, scene.info.transform), rule)  # type: ignore[arg-type]
    digest = hashlib.sha256(shapely.to_wkb(shapely.normalize(aoi.geometry))).hexdigest()
    return replace(scene, inside=inside, aoi_sha256=digest)


def _check_together(scenes: Sequence[GriddedScene]) -> None:
    stems: dict[str, str] = {}
    for scene in scenes:
        if scene.info.stem in stems:
            raise InputError(
                f"{scene.info.path} and {stems[scene.info.stem]} have one name: their tiles would have equal ids",
                "rename one of them, or take them in two runs",
            )
        stems[scene.info.stem] = scene.info.path


def _layer_crs(scenes: Sequence[GriddedScene], options: LayerOptions, form: Format) -> CRS:
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
