"""Algorithms that make more of a run than the files that the program wrote."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFeature,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtCore import QVariant

from .algorithm import BimorsAlgorithm, folder
from .command import Value
from .values import Reader


class Training(BimorsAlgorithm):
    """Trains an adapter, which is a folder."""

    def prepare(self, values: dict[str, Value], reader: Reader) -> dict[str, Value]:
        return {**values, "output": folder(reader, reader.text("NAME"))}

    def results(
        self, written: str, values: dict[str, Value], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, Any]:
        return {"OUTPUT": values["output"]}


class Evaluate(BimorsAlgorithm):
    """Computes the accuracy of a layer from reference polygons."""

    def prepare(self, values: dict[str, Value], reader: Reader) -> dict[str, Value]:
        return {**values, "output": folder(reader, f"{Path(str(values['sources'])).stem}_check")}

    def results(
        self, written: str, values: dict[str, Value], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, Any]:
        found = json.loads(written)
        return {
            "OUTPUT": values["output"],
            "PAGE": str(Path(str(values["output"])) / "map_check.md"),
            "ACCURACY": found["accuracy"],
            "COVERAGE": found["coverage"],
            "KAPPA": found["kappa"],
        }


class Assess(BimorsAlgorithm):
    """Estimates accuracy and areas from a labelled sample."""

    def prepare(self, values: dict[str, Value], reader: Reader) -> dict[str, Value]:
        output = folder(reader, f"{Path(str(values['sample'])).stem}_areas")
        if values["sources"]:
            return {**values, "output": output}
        # The sample itself is assessed.
        return {**values, "output": output, "sources": values["sample"], "sample": ""}

    def results(
        self, written: str, values: dict[str, Value], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, Any]:
        found = json.loads(written)
        output = str(values["output"])
        return {
            "AREAS": self._table(found["classes"], parameters, context),
            "ACCURACY": found["overall"]["accuracy"],
            "ACCURACY_SE": found["overall"]["se"],
            **({"REPORT": str(Path(output) / "report.html")} if output else {}),
        }

    def _table(
        self, classes: dict[str, dict[str, float | None]], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> str:
        """Write the estimates of each class to the output table; a number that is unknown is null."""
        columns = list(next(iter(classes.values())))
        fields = QgsFields()
        fields.append(QgsField("class", QVariant.String))
        for column in columns:
            whole = all(isinstance(estimates[column], int) for estimates in classes.values())
            fields.append(QgsField(column, QVariant.LongLong if whole else QVariant.Double))
        sink, destination = self.parameterAsSink(parameters, "AREAS", context, fields)
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, "AREAS"))
        for name, estimates in classes.items():
            feature = QgsFeature(fields)
            feature.setAttributes([name, *(estimates[column] for column in columns)])
            sink.addFeature(feature, QgsFeatureSink.FastInsert)
        return destination


class Info(BimorsAlgorithm):
    """Shows a scene on a page."""

    def results(
        self, written: str, values: dict[str, Value], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, Any]:
        page = self.parameterAsFileOutput(parameters, "PAGE", context)
        Path(page).write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><pre>{html.escape(written)}</pre>\n', encoding="utf-8"
        )
        return {"PAGE": page}

    def call(self, words: list[str], feedback: QgsProcessingFeedback) -> str | None:
        written = super().call(words, feedback)
        for line in (written or "").splitlines():
            feedback.pushInfo(line)
        return written


CLASSES: dict[str, type[BimorsAlgorithm]] = {
    "finetune": Training,
    "finetuneraster": Training,
    "finetunecorrected": Training,
    "evaluate": Evaluate,
    "assess": Assess,
    "info": Info,
}
