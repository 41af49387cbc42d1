"""Find the training examples that the options name, whatever the kind of source."""

from __future__ import annotations

from pathlib import Path

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.training.examples.base import Examples, select_classes
from bimors_cli.training.examples.corrected_layer import from_layer
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.examples.polygons import from_polygons
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
    examples = _source(options, bundle)
    return examples if options.labels is None else select_classes(examples, options.labels)


def _source(options: FinetuneOptions, bundle: Bundle) -> Examples:
    """Find the examples of all classes; raises as `find_examples`."""
    if options.polygons is not None and options.field is not None:
        return from_polygons(
            options.sources,
            options.polygons,
            options.field,
            image_size=bundle.image_size,
            options=options,
            min_overlap=options.min_overlap,
            background=options.background,
        )
    source = Path(options.sources[0])
    if source.is_dir():
        return from_folder(source, options)
    if not source.exists():
        raise InputError(f"{source} does not exist", "give a folder of classes, a split file, a layer, or scenes")
    if source.suffix.lower() == ".json":
        return from_split(source, None if options.images is None else Path(options.images), options)
    if source.suffix.lower() == ".gpkg":
        examples = from_layer(source, options.layer, image_size=bundle.image_size)
        if examples.description["bundle_sha256"] != bundle.sha256:
            raise InputError(
                f"{source} was classified with the bundle {examples.description['bundle']}, this is {bundle.name}"
                + (" in another version" if examples.description["bundle"] == bundle.name else ""),
                "give that bundle with --model, or classify the scene again with this one",
            )
        return examples
    raise InputError(
        f"{source} is not a folder, a split file (.json) or a layer of bimors classify (.gpkg)",
        "for a scene add --polygons FILE --field NAME",
    )
