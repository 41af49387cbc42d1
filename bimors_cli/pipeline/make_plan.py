"""Makes the plan of a run: opens every scene, its grid and stretch, and the output, before any model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import shapely
from rasterio.crs import CRS

from bimors_cli.bundle.adapter import Adapter, open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, CAPTIONER, CLIP, Bundle, open_bundle, read_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.errors import InputError
from bimors_cli.options.captions import caption_mode
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.options.layer import LayerOptions
from bimors_cli.options.priors import priors_of
from bimors_cli.options.scene import TILE_SIZE, GridOptions, SceneOptions
from bimors_cli.output.formats import GPKG, WGS84, Format, find_format, guess_format, with_separators
from bimors_cli.pipeline.added_offsets import warn_of_added_offset
from bimors_cli.pipeline.caption_use import resolve_captions
from bimors_cli.pipeline.engines.engine import get_engine
from bimors_cli.pipeline.label_sets import make_label_sets
from bimors_cli.pipeline.novelty import check_novelty
from bimors_cli.pipeline.plan import GriddedScene, InferencePlan, LayerPlan, Plan, ScenePlan
from bimors_cli.pipeline.scene_pixels import choose_pixels
from bimors_cli.pipeline.scene_views import with_views
from bimors_cli.pipeline.training_domain import check_domain
from bimors_cli.run_warnings import warn, warn_of_one
from bimors_cli.scene.aoi import Aoi, read_aoi_file, tile_mask
from bimors_cli.scene.around import footprint
from bimors_cli.scene.feature_counts import points_in
from bimors_cli.scene.gdal import file_name
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.pixel_warnings import Kind, PixelWarning, pixel_warnings
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo, open_scene, parse_crs
from bimors_cli.scene.size import make_grid, parse_overlap, parse_tile_size, warn_of_large_tile
from bimors_cli.scene.transformation import warn_if_inexact
from bimors_cli.scene.vote_cells import cells_of, tiles_overlapping

AnyScene = TypeVar("AnyScene", bound="GriddedScene")


def make_plan(options: ClassifyOptions) -> Plan:
    """Check everything that can be checked without a model.

    Raises
    ------
    InputError
        A scene, the AOI, a size, a band, a CRS, the priors or a format cannot be used; the scenes cannot be used in one
        run; the engine does not support an option.
    BundleError
        The bundle or the adapter cannot be used.
    ReadError
        The pixels for the stretch cannot be read.
    """
    options.check_required()
    get_engine(options.engine).check(options)
    output, form = choose_output(options)
    scenes = plan_scenes(options.scenes, options, read_bundle(find_bundle(options.model, options.captioner)))
    cells = tuple(_inside(_vote_cells(scenes, options), options)) if options.vote else None
    chosen = _inside(scenes, options) if cells is None else map(_covering, scenes, cells)
    base = _inference_plan(options, tuple(chosen), output, form)
    if options.head == "zero-shot":
        _need_clip(base.bundle)
    adapter = None if options.head == "zero-shot" else _adapter(options.adapter, base.bundle)
    if options.templates and adapter is not None:
        raise InputError(
            f"--template is not supported with the adapter {adapter.name}, which has learned prompts",
            "add --head zero-shot, or leave out --template",
        )
    if adapter is not None and adapter.views is not None:
        owner = f"the adapter {adapter.name}"
        viewed = [with_views(scene, adapter.views, owner, options.stretch) for scene in base.scenes]
        base = replace(base, scenes=tuple(viewed))
        warn_of_added_offset([scene.info for scene in viewed], adapter.views.added_offset, owner)
    check_novelty(options, base.bundle, adapter)
    if options.keep_features and not base.format.keeps_features:
        raise InputError("--keep-features needs a GeoPackage", "use -o FILE.gpkg")
    priors = () if options.priors is None else priors_of(options.priors, options.labels)
    outside = [scene.info.name if found else None for scene, found in zip(base.scenes, base.outside, strict=True)]
    captions = resolve_captions(
        caption_mode(options.captions),
        adapter,
        own=options.adapter is not None,
        outside=outside,
        without_captioner=None if base.bundle.has_part(CAPTIONER) else base.bundle.name,
        below=options.doubtful_below,
    )
    return Plan(
        options, base.scenes, base.output, base.format, base.crs, base.bundle, adapter, cells, priors,
        outside=base.outside, captions=captions, label_sets=make_label_sets(options, adapter, priors),
    )  # fmt: skip


def make_inference_plan(options: InferenceOptions) -> InferencePlan:
    """Check everything that can be checked without a model, for any run over tiles; raises as `make_plan`."""
    options.check_required()
    get_engine(options.engine).check(options)
    output, form = choose_output(options)
    bundle = read_bundle(find_bundle(options.model, options.captioner))
    need_part(bundle, CAPTIONER, "bimors caption")
    return _inference_plan(options, tuple(_inside(plan_scenes(options.scenes, options), options)), output, form)


def make_layer_plan(options: LayerOptions) -> LayerPlan:
    """Make the grids of scenes and choose the output; no pixel is read.

    Raises
    ------
    InputError
        A scene, the AOI, a size, a CRS or a format cannot be used; the scenes cannot be used in one run.
    """
    options.check_required()
    output, form = choose_output(options)
    gridded = tuple(_grid_scene(path, options) for path in options.scenes)
    _check_unique_names(gridded)
    scenes = tuple(_inside(gridded, options))
    return LayerPlan(options, scenes, output, form, _layer_crs(scenes, options, form))


def plan_scenes(paths: Sequence[str], options: SceneOptions, bundle: Bundle | None = None) -> tuple[ScenePlan, ...]:
    """Open scenes, check that they can be used in one run, and choose grid, bands and stretch of each.

    With a bundle that takes bands, these are chosen.

    Raises
    ------
    InputError
        A scene, a size, a band or a CRS cannot be used; two scenes have the same name.
    ReadError
        The pixels for the stretch cannot be read.
    """
    found = [_plan_scene(path, options, bundle) for path in paths]
    scenes = tuple(scene for scene, _ in found)
    _check_unique_names(scenes)
    _report({scene.info.name: warnings for scene, warnings in found})
    return scenes


def _inference_plan(
    options: InferenceOptions, scenes: tuple[ScenePlan, ...], output: Path, form: Format
) -> InferencePlan:
    bundle = open_bundle(find_bundle(options.model, options.captioner), hash_again=options.verify)
    crs, domain = _layer_crs(scenes, options, form), bundle.training_domain
    outside = tuple(
        () if domain is None else check_domain(scene.info, scene.grid, domain, bundle.image_size) for scene in scenes
    )
    return InferencePlan(options, scenes, output, form, crs, bundle, outside=outside)


def choose_output(options: LayerOptions) -> tuple[Path, Format]:
    """Return the file of a layer, or `STDOUT`, and its format. Raises InputError if the format is not supported."""
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
        raise InputError(f"--append needs a GeoPackage; {form.name} supports one layer only", "use -o FILE.gpkg")
    return path, form


def _report(warnings: Mapping[str, Sequence[PixelWarning]]) -> None:
    """Log one line a kind of warning: that of its first scene."""
    by_kind: dict[Kind, list[str]] = {}
    for name, of_scene in warnings.items():
        for kind in dict.fromkeys(warning.kind for warning in of_scene):
            by_kind.setdefault(kind, []).append(name)
    for kind, names in by_kind.items():
        first = next(warning for warning in warnings[names[0]] if warning.kind == kind)
        where = names[0] if len(names) == 1 else f"{len(names):,} of {len(warnings):,} scenes, such as {names[0]}"
        warn("%s: %s; %s", where, first.text, first.advice)


def _plan_scene(path: str, options: SceneOptions, bundle: Bundle | None) -> tuple[ScenePlan, tuple[PixelWarning, ...]]:
    with open_scene(
        path,
        assume_crs=options.assume_crs,
        allow_drivers=options.allow_drivers,
        ignore_alpha=options.ignore_mask,
        asset=options.asset,
    ) as scene:
        gridded = _grid(scene.info, options)
        bands, stretch = choose_pixels(scene, options, bundle)
        nodata = parse_nodata(options.nodata, masks=not options.ignore_mask)
        warnings = pixel_warnings(scene, bands, stretch, nodata, bands_given=bool(options.bidx))
    return ScenePlan(gridded.info, gridded.grid, bands=bands, stretch=stretch, nodata=nodata), warnings


def _grid_scene(path: str, options: GridOptions) -> GriddedScene:
    with open_scene(
        path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers, asset=options.asset
    ) as scene:
        return _grid(scene.info, options)


def _grid(info: SceneInfo, options: GridOptions) -> GriddedScene:
    tile_size = parse_tile_size(options.tile_size)
    grid = make_grid(info, tile_size, parse_overlap(options.overlap))
    if options.tile_size != TILE_SIZE:  # of a small picture, which is one tile by default, nothing is suspected
        warn_of_large_tile(info, tile_size)
    if not info.has_geotransform:
        warn_of_one(
            "scenes have no geotransform",
            "%s has no geotransform: pixel coordinates are used as map coordinates; georeference it with QGIS",
            info.name,
        )
    return GriddedScene(info, grid)


def _adapter(folder: str | None, bundle: Bundle) -> Adapter | None:
    """Open the given adapter, else that of the bundle; None for a bundle without one."""
    if folder is not None:
        return open_adapter(Path(folder), bundle)
    if bundle.part(ADAPTER).is_dir():
        return open_adapter(bundle.part(ADAPTER), bundle)
    _need_clip(bundle)
    warn("%s has no adapter: the zero-shot head is used; bimors finetune trains one", bundle.name)
    return None


def _need_clip(bundle: Bundle) -> None:
    """Refuse a bundle without CLIP where labels are found by their names. Raises InputError."""
    hint = f"learn from examples: bimors finetune --model {bundle.name}, and give the adapter with --adapter"
    need_part(bundle, CLIP, "classifying by names of labels", hint)


def _inside(scenes: Sequence[AnyScene], options: LayerOptions) -> Iterator[AnyScene]:
    """Restrict scenes to the AOI, if one is given."""
    if options.aoi is None:
        yield from scenes
        return
    file, infos = read_aoi_file(options.aoi), [scene.info for scene in scenes]
    found = [file.at(info, allow_miss=len(scenes) > 1) for info in infos]
    if all(aoi.geometry.is_empty for aoi in found):
        raise file.miss(infos)
    restricted = [_restrict(scene, aoi, options.aoi_rule) for scene, aoi in zip(scenes, found, strict=True)]
    counts = file.count(infos)
    if options.aoi_rule == "centre":
        counts = file.count_without_tile(counts, _centres(restricted, file.crs))
    if any(map(len, restricted)):
        counts.warn("use smaller tiles, or --aoi-rule any")
    else:
        raise InputError(
            f"{options.aoi}: the area of interest contains no tile of any scene", "try --aoi-rule any, or smaller tiles"
        )
    yield from restricted


def _vote_cells(scenes: Sequence[ScenePlan], options: SceneOptions) -> list[ScenePlan]:
    """Return the scenes with the grids of the cells that tiles vote on."""
    grids = [scene.grid for scene in scenes]
    steps = any((grid.stride_x, grid.stride_y) != (grid.tile_width, grid.tile_height) for grid in grids)
    # A scene of one tile has no overlap.
    if parse_overlap(options.overlap).value == 0 or not (steps or all(len(grid) == 1 for grid in grids)):
        raise InputError("--vote needs overlapping tiles", "add --overlap 50%")
    return [replace(scene, grid=cells_of(scene.grid)) for scene in scenes]


def _covering(scene: ScenePlan, cells: ScenePlan) -> ScenePlan:
    """Restrict a scene to the tiles over the cells in the AOI."""
    if cells.inside is None:
        return scene
    return replace(scene, inside=tiles_overlapping(scene.grid, cells.inside), aoi_sha256=cells.aoi_sha256)


def _centres(scenes: Sequence[GriddedScene], crs: str) -> Polygons:
    """Return the centres of the tiles in the AOI as points in another CRS."""
    points = [np.empty(0, object)]
    for scene in scenes:
        if scene.inside is not None:
            tiles = tile_polygons(scene.grid.take(np.flatnonzero(scene.inside).tolist()), scene.info.transform)
            points.append(points_in(crs, scene.info.crs.to_wkt(), shapely.get_coordinates(shapely.centroid(tiles))))
    return np.concatenate(points)


def _restrict(scene: AnyScene, aoi: Aoi, rule: str) -> AnyScene:
    inside = tile_mask(aoi, tile_polygons(scene.grid, scene.info.transform), rule)  # type: ignore[arg-type]
    digest = hashlib.sha256(shapely.to_wkb(shapely.normalize(aoi.geometry))).hexdigest()
    return replace(scene, inside=inside, aoi_sha256=digest)


def _check_unique_names(scenes: Sequence[GriddedScene]) -> None:
    stems: dict[str, str] = {}
    for scene in scenes:
        if scene.info.stem in stems:
            raise InputError(
                f"{scene.info.path} and {stems[scene.info.stem]} have the same name: their tiles would have equal ids",
                "rename one of them, or use two runs",
            )
        stems[scene.info.stem] = scene.info.path


def _layer_crs(scenes: Sequence[GriddedScene], options: LayerOptions, form: Format) -> CRS:
    wanted = options.dst_crs or (WGS84 if form.wgs84 else None)
    if wanted is not None:
        crs = parse_crs(wanted, "--dst-crs")
        if form.wgs84 and crs != CRS.from_user_input(WGS84):
            raise InputError(
                f"--dst-crs {wanted}: {form.name} supports WGS 84 only", "use -o FILE.gpkg, or leave out --dst-crs"
            )
        for info in (scene.info for scene in scenes if scene.info.crs != crs):
            warn_if_inexact(crs.to_wkt(), info.crs.to_wkt(), footprint(info).bounds)
        return crs
    first = scenes[0].info
    for scene in scenes[1:]:
        if scene.info.crs != first.crs:
            raise InputError(
                f"{scene.info.name} has the CRS {_short(scene.info.crs)}, {first.name} has {_short(first.crs)}",
                "give the CRS of the layer with --dst-crs, or use two runs",
            )
    return first.crs


def _short(crs: CRS) -> str:
    return str(crs.to_string())[:60]
