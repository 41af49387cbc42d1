"""A run of finetune: everything is checked that needs no model, then torch is imported and an adapter is trained."""

from __future__ import annotations

from dataclasses import replace as replace_fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bimors_cli.bundle.adapter import MANIFEST
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, open_bundle, read_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.options.heads import AUTO
from bimors_cli.output.atomic import check_folder, check_writable
from bimors_cli.run_warnings import keeps_warnings, warn
from bimors_cli.steps import LIBRARIES, step
from bimors_cli.training.examples.base import TEST, Examples
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.unfinished import check_unfinished, is_unfinished
from bimors_cli.training.views.prepare import prepare_views

if TYPE_CHECKING:
    from bimors_cli.pipeline.progress import StopRequest
    from bimors_cli.training.run import FinetuneProgress
    from bimors_cli.training.summary import FinetuneSummary
    from bimors_cli.training.views.summary import ViewsSummary

# The head of labels without examples, which no closed form can answer.
WITHOUT_EXAMPLES: Final = "bimors"


@keeps_warnings
def finetune(
    options: FinetuneOptions, *, progress: FinetuneProgress | None = None, stop: StopRequest | None = None
) -> FinetuneSummary | ViewsSummary:
    """Train an adapter and write its folder.

    Parameters
    ----------
    options : FinetuneOptions
        Options of the command.
    progress : FinetuneProgress, optional
        Shows the progress; by default nothing is shown.
    stop : StopRequest, optional
        Requests an early end.

    Raises
    ------
    InputError
        The source is not usable; the output exists.
    Interrupted
        ``stop`` requested an early end; completed epochs are saved for ``resume``.
    BimorsError
        The models cannot be loaded, or the output cannot be written.
    """
    options.check_required()
    folder = find_bundle(options.model, options.captioner)
    bundle = read_bundle(folder)
    if options.head != AUTO:
        need_part(bundle, CLIP, f"the head {options.head}")
    if options.output is not None:
        _check_output(Path(options.output), options)
    with step("reading the examples"):
        examples = find_examples(options, bundle)
    output = Path("adapters") / examples.name if options.output is None else Path(options.output)
    _check_output(output, options)
    if options.head == AUTO:
        if options.epochs != FinetuneOptions.epochs:
            warn("--epochs has no effect with --head auto: leave it out, or choose a head that is trained")
        absent = _labels_without_examples(examples)
        if not absent:
            prepared = prepare_views(options, bundle, examples)
            bundle = open_bundle(folder, hash_again=options.verify)  # may hash its files, so last

            with step(LIBRARIES):
                from bimors_cli.training.views.run import finetune_views

            return finetune_views(options, bundle, prepared, output, progress, stop)
        warn(
            "no examples of %s: the head %s is trained, which answers labels by their names too",
            ", ".join(map(repr, absent[:5])),
            WITHOUT_EXAMPLES,
        )
        options = replace_fields(options, head=WITHOUT_EXAMPLES)
        need_part(bundle, CLIP, f"the head {options.head}")
    check_unfinished(output, resume=options.resume, overwrite=options.overwrite)
    bundle = open_bundle(folder, hash_again=options.verify)

    with step(LIBRARIES):
        from bimors_cli.training.run import finetune_head

    replace = _replaces(output, options)
    return finetune_head(options, bundle, examples, output, replace=replace, progress=progress, stop=stop)


def _check_output(output: Path, options: FinetuneOptions) -> None:
    """Check now what would fail when the adapter is written. Raises InputError or OutputError."""
    check_folder(output, marker=MANIFEST, overwrite=_replaces(output, options))
    check_writable(output)


def _replaces(output: Path, options: FinetuneOptions) -> bool:
    # A resumed run may have started with --overwrite, or may have been killed after its output was written.
    return options.overwrite or (options.resume and is_unfinished(output))


def _labels_without_examples(examples: Examples) -> list[str]:
    present = {example.label for example in examples.examples if example.split != TEST}
    return [name for label, name in enumerate(examples.labels.names) if label in examples.optional - present]
