"""What can be checked of an output before the scenes are opened, which may take minutes for a mosaic."""

from __future__ import annotations

from bimors_cli.options.inference import InferenceOptions
from bimors_cli.output.atomic import check_target, check_writable
from bimors_cli.output.formats import STDOUT
from bimors_cli.pipeline.checkpoint.unfinished import unfinished_runs
from bimors_cli.pipeline.make_plan import choose_output


def check_output(options: InferenceOptions) -> None:
    """Check that the layer of a run can be written; `OutputTarget.check` checks the rest.

    Raises
    ------
    InputError
        The format is not supported.
    OutputExistsError
        The output exists, and no option says what to do with it.
    OutputError
        Its folder does not exist or cannot be written.
    """
    options.check_required()
    output, _ = choose_output(options)
    if output == STDOUT:
        return
    may_exist = options.overwrite or options.resume or options.append or bool(unfinished_runs(output))
    check_target(output, overwrite=may_exist)
    check_writable(output)
