"""What the algorithms that train an adapter have in common."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputFolder,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from .base import BimorsAlgorithm
from .command import FINETUNE_HEADS, VIEWS


class Training(BimorsAlgorithm):
    """An algorithm that writes an adapter into a folder."""

    def group(self) -> str:
        return "Training"

    def tags(self) -> list[str]:
        return ["train", "few-shot", "examples", "learn", "adapter"]

    def add_training(self) -> None:
        """Add the parameters of the training itself."""
        integer = QgsProcessingParameterNumber.Integer
        shots = QgsProcessingParameterNumber("SHOTS", "Examples per class", integer, 16, minValue=0)
        self.add(shots, "Number of training tiles per class; 0 uses all tiles.")
        self.add(QgsProcessingParameterString("NAME", "Adapter name", "adapter"))
        head = QgsProcessingParameterEnum(
            "HEAD", "Head", FINETUNE_HEADS, defaultValue="auto", optional=True, usesStaticStrings=True
        )
        self.add(
            head,
            "auto classifies by the views of a tile that suit the examples best, in seconds. The others train a "
            "network, which takes minutes.",
        )
        views = QgsProcessingParameterEnum(
            "VIEWS", "Views for auto", VIEWS, allowMultiple=True, optional=True, usesStaticStrings=True
        )
        self.add(
            views,
            "Views of a tile to choose from. Empty: all but captions, and prompts only where the class names alone "
            "are useful.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterNumber("EPOCHS", "Epochs", integer, 10, minValue=1),
            "Passes over the training tiles, for the other heads.",
            advanced=True,
        )
        self.add(QgsProcessingParameterBoolean("OVERWRITE", "Overwrite an existing adapter", False), advanced=True)
        self.add(QgsProcessingParameterBoolean("RESUME", "Resume a cancelled run", False), advanced=True)

    def add_destination(self) -> None:
        """Add the folder, and the adapter as an output."""
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Output folder"))
        self.addOutput(QgsProcessingOutputFolder("OUTPUT", "Adapter"))

    def training(self, parameters: dict, context: QgsProcessingContext) -> dict:
        """Return the parameters of `add_training` but the name, as `command.finetune` takes them."""
        return {
            "views": ",".join(self.parameterAsEnumStrings(parameters, "VIEWS", context)),
            "overwrite": self.parameterAsBool(parameters, "OVERWRITE", context),
            "resume": self.parameterAsBool(parameters, "RESUME", context),
            **self.choices(parameters, context, "HEAD"),
            **self.numbers(parameters, context, "SHOTS", "EPOCHS"),
        }
