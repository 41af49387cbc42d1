"""The algorithm that runs a command of the program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
)
from qgis.PyQt.QtCore import QUrl

from . import help, spec
from .command import Value, arguments
from .parameters import make, make_output
from .process import ProgramFailed, run
from .program import PROGRAM_SETTING, ProgramError, find_program
from .spec import Algorithm
from .style import load_styled
from .translate import tr
from .values import Reader, unlike_their_files


class BimorsAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of which everything follows from its description."""

    def __init__(self, described: Algorithm) -> None:
        super().__init__()
        self.described = described

    def createInstance(self) -> BimorsAlgorithm:
        return type(self)(self.described)

    def name(self) -> str:
        return self.described.name

    def displayName(self) -> str:
        return tr(self.described.label)

    def group(self) -> str:
        return tr(self.described.group)

    def groupId(self) -> str:
        return self.described.group.lower().replace(" ", "_")

    def tags(self) -> list[str]:
        # The English name too: many users know it from documents.
        return [*self.described.tags, self.described.label]

    def shortHelpString(self) -> str:
        return tr(self.described.help)

    def helpUrl(self) -> str:
        """Return a page about all algorithms in the language of QGIS, which needs no network."""
        path = help.write(Path(QgsProcessingUtils.tempFolder()))
        url = QUrl.fromLocalFile(str(path))
        url.setFragment(self.described.name)
        return url.toString()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        for parameter in self.described.parameters:
            self.addParameter(make(self.described, parameter))
        for output in self.described.outputs:
            self.addOutput(make_output(output))

    def canExecute(self) -> tuple[bool, str]:
        """Check that the program is installed before the dialog opens."""
        try:
            _program()
        except ProgramError as error:
            return False, str(error)
        return True, ""

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """Check before the start what the program could not, or would say later."""
        problem = self._problem(parameters, context)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Check again: batches and models do not call `checkParameterValues`."""
        if problem := self._problem(parameters, context):
            raise QgsProcessingException(problem)
        return True

    def _problem(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        return unlike_their_files(self, parameters, context) or self._one_of(parameters)

    def _one_of(self, parameters: dict[str, Any]) -> str:
        """Return what is wrong with parameters that set one option; empty if nothing is."""
        rivals: dict[str, list[str]] = {}
        for one in self.described.parameters:
            option = self.described.declared(one)
            if option is not None and option.kind != "texts" and parameters.get(one.name) not in (None, ""):
                rivals.setdefault(one.option, []).append(one.name)
        for names in rivals.values():
            if len(names) > 1:
                first, second = (tr(self.described.parameter(name).label) for name in names[:2])
                return tr("Set '{first}' or '{second}', not both.").format(first=first, second=second)
        wanted = self.described.one_of
        if wanted and all(parameters.get(name) in (None, "") for name in wanted):
            first, second = (tr(self.described.parameter(name).label) for name in wanted)
            return tr("Set '{first}' or '{second}'.").format(first=first, second=second)
        return ""

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        reader = Reader(self, self.described, parameters, context, feedback)
        values = self.prepare(reader.values(), reader)
        written = self.call(arguments(self.described, values, reader.text("EXTRA")), feedback)
        if written is None:
            return {}
        if self.described.edited:
            _warn_if_temporary(str(values["output"]), feedback)
        if self.described.styled:
            load_styled(str(values["output"]), context)
        outputs = {
            one.name: values[one.option]
            for one in self.described.parameters
            if one.kind in spec.OUTPUTS and one.option and values[one.option]
        }
        return {**outputs, **self.results(written, values, parameters, context)}

    def prepare(self, values: dict[str, Value], reader: Reader) -> dict[str, Value]:
        """Return the values of the options; a subclass adds those that depend on several parameters."""
        return values

    def results(
        self, written: str, values: dict[str, Value], parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, Any]:
        """Return further results; a subclass makes them of what the program wrote to standard output."""
        return {}

    def call(self, words: list[str], feedback: QgsProcessingFeedback) -> str | None:
        """Run the program and return its standard output; None if it was cancelled."""
        try:
            return run([_program(), *words], feedback)
        except ProgramError as error:
            raise QgsProcessingException(str(error)) from error
        except ProgramFailed as error:
            # The program names its options; the dialog has names of its own for them.
            text = self.described.in_words_of_the_dialog(str(error), "'{label}' ({flag})", tr)
            raise QgsProcessingException(text) from error


def folder(reader: Reader, name: str) -> str:
    """Return a path in the folder FOLDER, which is made; the program creates and replaces only its own subfolders."""
    parent = reader.text("FOLDER")
    if not parent:
        return ""
    os.makedirs(parent, exist_ok=True)
    return os.path.join(parent, name)


def _warn_if_temporary(output: str, feedback: QgsProcessingFeedback) -> None:
    """Warn about a layer that the user will edit in a folder that QGIS deletes when it is closed."""
    if Path(output).is_relative_to(QgsProcessingUtils.tempFolder()):
        feedback.pushWarning(
            tr(
                "The output is a temporary file, which QGIS deletes when it is closed. Save it to a file of your own "
                "before you edit it: run the algorithm again and select an output file."
            )
        )


def _program() -> str:
    return find_program(ProcessingConfig.getSetting(PROGRAM_SETTING) or "")
