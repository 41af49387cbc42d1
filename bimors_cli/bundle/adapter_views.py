"""What the manifest of an adapter says of the views that it classifies by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CLIP
from bimors_cli.errors import InputError
from bimors_cli.options.templates import FORMER_REMOTE_SENSING, check_templates
from bimors_cli.options.views import CAPTION, VIEWS


@dataclass(frozen=True)
class BandIdentity:
    """A band that an adapter was trained on: its number in the scene, from 1, and what it is if that is known."""

    index: int
    name: str | None

    def __str__(self) -> str:
        return self.name or f"band {self.index}"


@dataclass(frozen=True)
class AdapterViews:
    """The views of an adapter whose head is ``views``.

    Attributes
    ----------
    names : tuple of str
        Of `bimors_cli.options.views.VIEWS`.
    bands : tuple of BandIdentity
        The bands of the statistics, in their order; empty if no view has statistics.
    false_colour : tuple of int
        Positions in ``bands`` (from 0) of the bands shown as red, green and blue; empty without that view.
    pixel_size_m : float or None
        Ground size of a pixel of the scenes of the training; None where it is unknown.
    added_offset : float or None
        What was added to the values of ``bands`` in the first scene; None where it is unknown.
    templates : tuple of str
        Those of the view ``names`` in the training; empty without that view, or if the adapter does not state them.
    """

    names: tuple[str, ...]
    bands: tuple[BandIdentity, ...] = ()
    false_colour: tuple[int, ...] = ()
    pixel_size_m: float | None = None
    added_offset: float | None = None
    templates: tuple[str, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        """What networks have to process of each tile, of `bimors_cli.options.views.INPUT_PRICES`."""
        return frozenset[str]().union(*(VIEWS[name].inputs for name in self.names))

    @property
    def around(self) -> bool:
        """Whether a view shows the ground around a tile."""
        return any(VIEWS[name].around for name in self.names)

    @property
    def unused_parts(self) -> frozenset[str]:
        """Parts of a bundle, besides the captioner, that no view needs."""
        needed = {CAPTION_ENCODER if name == CAPTION else CLIP for name in self.inputs}
        return frozenset({CLIP, CAPTION_ENCODER} - needed)

    def templates_with(self, of_bundle: tuple[str, ...]) -> tuple[str, ...]:
        """Return the templates that the view ``names`` was learned with; ``of_bundle`` are the bundle's own, if any."""
        return self.templates or of_bundle or FORMER_REMOTE_SENSING

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; no templates if there are none, as the identity of older adapters has none."""
        return {name: value for name, value in asdict(self).items() if name != "templates" or value}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> AdapterViews:
        """Parse the result of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        pixel, added = content["pixel_size_m"], content.get("added_offset")
        found = cls(
            tuple(str(name) for name in content["names"]),
            tuple(
                BandIdentity(int(band["index"]), None if band["name"] is None else str(band["name"]))
                for band in content["bands"]
            ),
            tuple(int(position) for position in content["false_colour"]),
            None if pixel is None else float(pixel),
            None if added is None else float(added),
            tuple(str(template) for template in content.get("templates", ())),
        )
        if not found.names or not all(0 <= position < len(found.bands) for position in found.false_colour):
            raise ValueError("views: no names, or false colours of bands that are missing")
        if len(found.false_colour) != (3 if "false-colour" in found.names else 0):
            raise ValueError("views: false colours are not of three bands")
        if not found.bands and any(VIEWS[name].kind == "statistics" for name in found.names if name in VIEWS):
            raise ValueError("views: statistics of no bands")
        if found.templates:
            try:
                check_templates(found.templates, "views: templates:")
            except InputError as error:
                raise ValueError(error.message) from error
        return found
