"""Find the training examples that the options name, whatever the kind of source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, SceneError
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.results.copy_hint import copy_error, has_no_record, is_copy, is_map
from bimors_cli.results.found_layer import is_found_layer
from bimors_cli.run_warnings import warn
from bimors_cli.scene.gdal import allowed_drivers, gdal_env, is_local, open_dataset
from bimors_cli.scene.points_csv import is_point_table
from bimors_cli.scene.vector import has_vector_suffix
from bimors_cli.training.examples.alike_names import warn_of_alike_names
from bimors_cli.training.examples.base import Examples, class_labels, find_images, select_classes
from bimors_cli.training.examples.copied_layer import from_copy
from bimors_cli.training.examples.corrected_layer import from_layer
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.examples.found_layer import from_found
from bimors_cli.training.examples.join import join_corrected
from bimors_cli.training.examples.label_raster import from_label_raster
from bimors_cli.training.examples.polygons import from_polygons
from bimors_cli.training.examples.scene_tiles import TileImages
from bimors_cli.training.examples.split_file import from_split
from bimors_cli.training.options import FinetuneOptions


def find_examples(options: FinetuneOptions, bundle: Bundle) -> Examples:
    """Find the examples of a source, of all its classes or of those in ``options.labels``.

    Raises
    ------
    InputError
        The source is missing, unsupported or unusable; a layer was classified with another bundle; a label matches no
        class.
    """
    _check_names(options)
    examples = _scenes_and_layers(options, bundle) if options.corrected else _source(options, bundle)
    warn_of_alike_names(examples)
    return examples if options.labels is None else select_classes(examples, options.labels)


def _scenes_and_layers(options: FinetuneOptions, bundle: Bundle) -> Examples:
    """Find the examples of a source and of corrected layers, or of copies of these on scenes without other labels."""
    copies = [path for path in options.corrected if has_no_record(Path(path))]
    if options.polygons is None and options.examples is None and _is_raster(options.sources[0], options):
        for path in options.corrected:
            if path not in copies:
                _from_layer(Path(path), None, options, bundle)  # raises for a file that cannot be read
                raise InputError(
                    f"{path} records its scenes, so {options.sources[0]} has no effect",
                    f"bimors finetune {quote(path)}",
                )
        scenes = plan_scenes(options.sources, options)
        first, *others = [_from_copy(path, scenes, options, bundle) for path in copies]
        examples = join_corrected(first, others) if others else first
        class_labels(examples.labels.names, ", ".join(copies), "check tiles of another class too")
        return examples
    if len(options.sources) > 1 and options.polygons is None and options.examples is None:
        raise InputError("several sources need --polygons or --examples", "give one folder, split file or layer")
    source = _source(options, bundle)
    layers = []
    for path in options.corrected:
        if path in copies:
            images, _ = find_images(source)
            scenes = images.scenes if isinstance(images, TileImages) else ()
            layers.append(_from_copy(path, scenes, options, bundle))
        else:
            layers.append(_from_layer(Path(path), None, options, bundle))
    return join_corrected(source, layers)


def _from_copy(path: str, scenes: Sequence[ScenePlan], options: FinetuneOptions, bundle: Bundle) -> Examples:
    if not scenes:
        raise copy_error(Path(path))
    return from_copy(Path(path), scenes, image_size=bundle.image_size, min_valid=options.min_valid)


def _is_raster(path: str, options: FinetuneOptions) -> bool:
    """Tell whether GDAL opens a source as a raster; a GeoPackage of vectors and a folder are not."""
    if has_vector_suffix(path) or Path(path).is_dir() or (is_local(path) and not Path(path).exists()):
        return False
    with gdal_env():
        open_dataset(path, allowed_drivers(options.allow_drivers)).close()
    return True


def _check_names(options: FinetuneOptions) -> None:
    """Refuse the names for accepted and rejected tiles if no source has such tiles."""
    layers = [(Path(options.sources[0]), options.layer), *((Path(path), None) for path in options.corrected)]
    for option, value in (("--as", options.accepted_as), ("--others", options.rejected_as)):
        if value is not None and not any(_is_found(*layer) for layer in layers):
            raise InputError(
                f"{option} has no effect with {options.sources[0]}", "it is for a layer that bimors search wrote"
            )


def _source(options: FinetuneOptions, bundle: Bundle) -> Examples:
    """Find the examples of all classes; raises as `find_examples`."""
    if options.examples is not None and not _is_vector(options.examples, options):
        return _from_label_raster(options.examples, options, bundle)
    features = options.polygons or options.examples
    if features is not None:
        if options.field is None:
            raise InputError(
                f"{features} holds features: --field is missing", "add --field NAME, the field of the class"
            )
        if options.field.casefold() == "label" and is_map(features):
            warn(
                "%s is a map of bimors, and its labels are answers of a model, right or wrong: to learn from the "
                "checked tiles of it only, give it with --corrected in place of --polygons",
                features,
            )
        return from_polygons(
            options.sources,
            features,
            options.field,
            image_size=bundle.image_size,
            options=options,
            min_overlap=options.min_overlap,
            background=options.background,
            names=options.class_names,
            points_crs=options.points_crs,
        )
    source = Path(options.sources[0])
    if source.is_dir():
        return from_folder(source, options)
    if not source.exists():
        raise InputError(f"{source} does not exist", "give a folder of classes, a split file, a layer, or scenes")
    if source.suffix.lower() == ".json":
        return from_split(source, None if options.images is None else Path(options.images), options)
    if source.suffix.lower() == ".gpkg":
        return _from_layer(source, options.layer, options, bundle)
    if has_vector_suffix(str(source)) and is_copy(source):
        raise _no_record(source)
    raise InputError(
        f"{source} is not a folder, a split file (.json) or a layer of bimors classify (.gpkg)",
        "for a scene add --examples FILE, a label raster, or --polygons FILE --field NAME",
    )


def _is_found(path: Path, layer: str | None) -> bool:
    """Tell whether a file holds a layer of `bimors search`."""
    return path.suffix.lower() == ".gpkg" and path.is_file() and is_found_layer(path, layer)


def _from_layer(path: Path, layer: str | None, options: FinetuneOptions, bundle: Bundle) -> Examples:
    if is_copy(path):
        raise _no_record(path)
    if _is_found(path, layer):
        examples = from_found(
            path,
            layer,
            image_size=bundle.image_size,
            accepted_as=options.accepted_as,
            rejected_as=options.rejected_as,
        )
    else:
        examples = from_layer(path, layer, image_size=bundle.image_size)
    if examples.description["bundle_sha256"] != bundle.sha256:
        raise InputError(
            f"{path} was classified with the bundle {examples.description['bundle']}, this is {bundle.name}"
            + (" in another version" if examples.description["bundle"] == bundle.name else ""),
            "give that bundle with --model, or classify the scene again with this one",
        )
    return examples


def _no_record(path: Path) -> InputError:
    without = f"or learn from its checked rows: bimors finetune SCENE --corrected {quote(str(path))} --tile-size SIZE"
    return copy_error(path, without)


def _from_label_raster(raster: str, options: FinetuneOptions, bundle: Bundle) -> Examples:
    for option, value in (
        ("--field", options.field),
        ("--background", options.background),
        ("--points-crs", options.points_crs),
    ):
        if value is not None:
            raise InputError(
                f"{option} has no effect with a label raster, {raster}", "leave it out; name codes with --class-names"
            )
    return from_label_raster(
        options.sources,
        raster,
        image_size=bundle.image_size,
        options=options,
        min_overlap=options.min_overlap,
        names=options.class_names,
    )


def _is_vector(path: str, options: FinetuneOptions) -> bool:
    """Tell whether a file of labels is a vector file: GDAL does not open it as a raster, and its suffix says so.

    Raises
    ------
    SceneError
        It is neither of both.
    """
    if is_point_table(path):  # GDAL may open a grid of points as a raster
        return True
    try:
        with gdal_env():
            open_dataset(path, allowed_drivers(options.allow_drivers)).close()
    except SceneError:
        if has_vector_suffix(path):
            return True
        raise
    return False
