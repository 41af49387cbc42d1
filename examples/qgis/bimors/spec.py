"""What an algorithm is: data, from which its dialog, its help and its command line follow. Does not import QGIS."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .declared import Option, options

# Kinds of parameters that are files or layers; all others follow from the declaration of the option.
SCENE, SCENES = "scene", "scenes"  # raster layers, as GDAL opens them
RASTER = "raster"  # a raster layer that is not a scene
LAYER = "layer"  # a layer that the program wrote: its file and the name of the layer, never exported
LAYERS, FILES = "layers", "files"
SOURCE = "source"  # features, which QGIS exports if they are not in a file: FILE:LAYER
TILES = "tiles"  # features of a layer that the program wrote: their tile_id
FILE, FOLDER, FIELD, CRS, CHOICES = "file", "folder", "field", "crs", "choices"
VECTOR_OUTPUT, RASTER_OUTPUT, FILE_OUTPUT, FOLDER_OUTPUT = (
    "vector output", "raster output", "file output", "folder output",
)  # fmt: skip
TABLE = "table"
OUTPUTS = (VECTOR_OUTPUT, RASTER_OUTPUT, FILE_OUTPUT)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an algorithm.

    Attributes
    ----------
    name, label : str
        How models and scripts call it, and the dialog.
    option : str
        The option of the command that it sets; empty if the algorithm itself uses it.
    kind : str
        One of the kinds above; empty if the declaration of the option says what it is.
    tip : str, optional
        The tooltip, where the help of the option does not suit a dialog.
    advanced : bool
        Whether it is folded away.
    optional : bool
        Whether it may be left empty. Options that have no default may always be.
    parent : str
        Of a field: the parameter with its layer.
    layer_option : str
        Of a layer: the option for its name in the file. Empty: FILE:LAYER.
    filter : str
        Of a file: its formats.
    geometry : {"any", "polygon"}
        Of a vector input.
    percent : bool
        Whether a number is written with a percent sign.
    multiline : bool
        Whether a text has several lines, each of which is a value.
    choices : dict of str to str, optional
        Instead of those of the option.
    default, minimum, maximum : object, optional
        Instead of those of the option.
    """

    name: str
    label: str
    option: str = ""
    kind: str = ""
    tip: str | None = None
    advanced: bool = False
    optional: bool = False
    parent: str = ""
    layer_option: str = ""
    filter: str = ""
    geometry: str = "any"
    percent: bool = False
    multiline: bool = False
    choices: dict[str, str] | None = None
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Output:
    """A result that is not a parameter: a number, a page, a file or a folder."""

    name: str
    label: str
    kind: str


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of the toolbox.

    Attributes
    ----------
    name, label, group : str
        How models and scripts call it; how the toolbox calls it and its group.
    command : str
        The command of the program.
    help : str
        What it does, in paragraphs.
    tags : sequence of str
        Further words to find it by.
    words : sequence of str
        Words of every command line, such as ``--json``.
    replaces : bool
        Whether an existing output is replaced, as Processing does; a parameter OVERWRITE asks where it may hold the
        work of the user.
    styled : bool
        Whether the layer is loaded in the style in its file.
    edited : bool
        Whether the user edits the layer, so that a temporary file is a warning.
    one_of : sequence of str
        Parameters of which exactly one is set.
    """

    name: str
    label: str
    group: str
    command: str
    help: str
    parameters: Sequence[Parameter]
    tags: Sequence[str] = ()
    words: Sequence[str] = ()
    outputs: Sequence[Output] = field(default=())
    replaces: bool = False
    styled: bool = False
    edited: bool = False
    one_of: Sequence[str] = ()

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by its name."""
        return next(one for one in self.parameters if one.name == name)

    def declared(self, parameter: Parameter) -> Option | None:
        """Return the declaration of the option that a parameter sets."""
        return options(self.command)[parameter.option] if parameter.option else None

    def tip(self, parameter: Parameter) -> str:
        """Return the tooltip of a parameter: its own, or the help of the option in the words of the dialog."""
        option = self.declared(parameter)
        text = parameter.tip or ""
        if parameter.tip is None and option is not None and parameter.kind not in OUTPUTS:
            text = self.in_words_of_the_dialog(_without_repeats(option.help))
        choices = self.choices(parameter)
        if any(choices.values()):
            text += " " + "; ".join(f"{name}: {about}" for name, about in choices.items()) + "."
        return text.strip()

    def choices(self, parameter: Parameter) -> dict[str, str]:
        """Return the values that a parameter offers, each with a few words."""
        if parameter.choices is not None:
            return parameter.choices
        option = self.declared(parameter)
        return {} if option is None else option.choices

    def in_words_of_the_dialog(self, text: str, label: str = "'{label}'", translate: Callable[[str], str] = str) -> str:
        """Replace the flags of the parameters, outside of command lines, by how the dialog calls them."""
        labels = {
            option.flag: one.label
            for one in self.parameters
            if (option := self.declared(one)) is not None and option.flag
        }

        def replaced(found: re.Match[str]) -> str:
            sentence = re.split(r"[.:] |\n", text[: found.start()])[-1]
            name = labels.get(found.group())
            if name is None or "bimors " in sentence:
                return found.group()
            return label.format(label=translate(name), flag=found.group())

        return re.sub(r"(?<![\w-])--[a-z][a-z-]*", replaced, text)


def _without_repeats(text: str) -> str:
    """Leave out the sentence that the option can be repeated: the dialog takes a list."""
    return re.sub(r" ?Repeat (the option|it) for several[^.]*\.", "", text).strip()
