"""What a scene is, how it would be read and divided into tiles, and what a bundle makes of it: `bimors info`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle.adapter import Adapter, read_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTIONER, CLIP, Bundle, read_bundle
from bimors_cli.errors import InputError
from bimors_cli.options.scene import InfoOptions
from bimors_cli.pipeline.scene_pixels import choose_pixels
from bimors_cli.pipeline.scene_views import match_bands, views_of_scene
from bimors_cli.pipeline.training_domain import domain_facts
from bimors_cli.scene.describe import SceneDescription, describe


@dataclass(frozen=True)
class ModelUse:
    """What a bundle makes of a scene.

    Attributes
    ----------
    name : str
        Name of the bundle.
    inputs : tuple of str
        The bands that its CLIP takes; empty for a bundle without CLIP.
    image_size : int
        Side of the model's input in pixels.
    captions : bool
        Whether it has a captioner.
    views : tuple of str
        Views of the pixels of this scene that ``bimors finetune --head auto`` can learn from.
    pixel_size_m, tile_size_m : tuple of float or None
        Ranges of the pixel size and of the side of a tile, on the ground in metres, that it was trained on; None if the
        bundle does not state them.
    inside : bool or None
        Whether scene and tiles are inside these ranges; None if they are not stated.
    outside : tuple of str
        In which respects they are not: ``pixel size``, ``tile size``, ``tile pixels``.
    """

    name: str
    inputs: tuple[str, ...]
    image_size: int
    captions: bool
    views: tuple[str, ...]
    pixel_size_m: tuple[float, float] | None
    tile_size_m: tuple[float, float] | None
    inside: bool | None
    outside: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the keys about the model of ``bimors info --json``."""
        return {
            "model": self.name,
            "model_inputs": list(self.inputs),
            "model_image_size": self.image_size,
            "model_captions": self.captions,
            "model_views": list(self.views),
            "model_pixel_size_m": None if self.pixel_size_m is None else list(self.pixel_size_m),
            "model_tile_size_m": None if self.tile_size_m is None else list(self.tile_size_m),
            "in_training_domain": self.inside,
            "outside_training_domain": list(self.outside),
        }


@dataclass(frozen=True)
class AdapterUse:
    """Whether an adapter can be used with a scene.

    Attributes
    ----------
    name, head : str
        Name and head of the adapter.
    labels : tuple of str
        Its training labels.
    problem : str or None
        Why ``bimors classify`` would refuse it; None if it can be used.
    """

    name: str
    head: str
    labels: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True)
class SceneReport:
    """All that `bimors info` reports.

    Attributes
    ----------
    scene : SceneDescription
        The scene.
    model : ModelUse
        The bundle.
    adapter : AdapterUse or None
        The adapter, if one was given.
    warnings : tuple of str
        One line each: what is suspect, and what to do.
    """

    scene: SceneDescription
    model: ModelUse
    adapter: AdapterUse | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the object of ``bimors info --json``."""
        adapter = None if self.adapter is None else {**asdict(self.adapter), "labels": list(self.adapter.labels)}
        return {
            **self.scene.to_dict(),
            **self.model.to_dict(),
            "adapter": adapter,
            "warnings": list(self.warnings),
        }


def info(options: InfoOptions) -> SceneReport:
    """Describe a scene; with ``png`` write a small image of it.

    Raises
    ------
    InputError
        The scene, an option, the bundle or the adapter is invalid.
    OutputError
        The image cannot be written.
    ReadError
        The pixels cannot be read.
    """
    options.check_required()
    png = None if options.png is None else Path(options.png)
    if png is not None:
        from bimors_cli.results.scene_image import check_image_output

        check_image_output(png, options, overwrite=options.overwrite)
    bundle = read_bundle(find_bundle(options.model))
    adapter = None if options.adapter is None else read_adapter(Path(options.adapter))
    inputs = () if bundle.bands is None else bundle.bands.names
    scene = describe(options, lambda opened: choose_pixels(opened, options, bundle), inputs)
    model, domain_warning = _model_use(scene, bundle)
    used = None if adapter is None else _adapter_use(scene, adapter, bundle)
    warnings = [f"{scene.info.name}: {one.text}; {one.advice}" for one in scene.warnings]
    if scene.location.area_of_use is not None:
        warnings.append(_area_warning(scene))
    if domain_warning is not None and adapter is None:  # an adapter has learned from other pixels
        warnings.append(domain_warning)
    if used is not None and used.problem is not None:
        warnings.append(f"bimors classify cannot use the adapter {used.name} with this scene: {used.problem}")
    if png is not None:
        from bimors_cli.results.scene_image import write_image

        write_image(scene, png, overwrite=options.overwrite)
    return SceneReport(scene, model, used, tuple(warnings))


def _model_use(scene: SceneDescription, bundle: Bundle) -> tuple[ModelUse, str | None]:
    facts, warning = domain_facts(scene.info, scene.grid, bundle)
    domain = bundle.training_domain
    if bundle.bands is not None:
        inputs = bundle.bands.names
    else:
        inputs = ("red", "green", "blue") if bundle.has_part(CLIP) else ()
    use = ModelUse(
        name=bundle.name,
        inputs=inputs,
        image_size=bundle.image_size,
        captions=bundle.has_part(CAPTIONER),
        views=views_of_scene(scene.info, scene.bands) if bundle.bands is None else (),
        pixel_size_m=None if domain is None else domain.pixel_size_m,
        tile_size_m=None if domain is None else domain.tile_size_m,
        inside=facts["in_training_domain"],
        outside=tuple(facts["outside_training_domain"]),
    )
    return use, warning


def _adapter_use(scene: SceneDescription, adapter: Adapter, bundle: Bundle) -> AdapterUse:
    problem = None
    if adapter.bundle_sha256 != bundle.sha256:
        problem = f"it was trained with the bundle {adapter.bundle}, not with {bundle.name}; select it by --model"
    elif adapter.views is not None and adapter.views.bands:
        try:
            match_bands(scene.info, adapter.views, f"the adapter {adapter.name}")
        except InputError as error:
            problem = f"{error.message}; {error.hint}" if error.hint else error.message
    return AdapterUse(adapter.name, adapter.kind, adapter.labels, problem)


def _area_warning(scene: SceneDescription) -> str:
    place = scene.location
    lon, lat = place.centre_lonlat or (0.0, 0.0)
    where = f"{abs(lon):.2f} {'W' if lon < 0 else 'E'}, {abs(lat):.2f} {'S' if lat < 0 else 'N'}"
    return (
        f"{scene.info.name}: its centre, {where}, is far outside the area of use of {place.crs_code or place.crs_name} "
        f"({place.area_of_use}); if the CRS is wrong, correct it with gdal_edit.py -a_srs"
    )
