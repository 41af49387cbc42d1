"""Importing a checkpoint of the published BiMoRS code as an adapter."""

from __future__ import annotations

import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, Adapter, read_adapter, write_adapter_manifest
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.model.heads.bimors import PromptLearnerWidths
from bimors_cli.model.official_checkpoint import PROJECTION, from_official, no_projection, projection_of_seed
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from bimors_cli.output.atomic import replacing_folder
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.steps import step


def import_official(
    checkpoint: Path, bundle: Bundle, labels: Labels, path: Path, *, seed: int | None = None, overwrite: bool = False
) -> Adapter:
    """Import ``prompt_learner/model.pth.tar-N`` or ``model-best.pth.tar`` of the published code.

    Parameters
    ----------
    checkpoint : Path
        The checkpoint.
    bundle : Bundle
        A bundle with the CLIP that the checkpoint was trained with.
    labels : Labels
        The classes that the checkpoint was trained on, in the same order.
    path : Path
        Folder of the new adapter.
    seed : int, optional
        Seed of the published code. It determines the caption projection, which the checkpoint does not contain.
        Without it the projection is zero, and captions have no effect.
    overwrite : bool
        Replace an adapter at ``path``.

    Returns
    -------
    Adapter
        Its training record names the source of the caption projection.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `replacing_folder`; the file does not exist; the number of labels is not that of the checkpoint's classes;
        the checkpoint was not trained with this seed.
    BundleError
        The file is not a checkpoint of the published code, or was trained with another CLIP.
    """
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: file not found")
    with replacing_folder(path, marker=MANIFEST, overwrite=overwrite) as built:
        with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
            converted = Path(folder) / "checkpoint.safetensors"
            with step(f"reading {checkpoint.name}"):
                pickle_to_safetensors(checkpoint, converted)
            tensors = load_file(converted)
        classes = tensors.get("token_suffix")
        if classes is not None and len(classes) != len(labels):
            raise InputError(
                f"{checkpoint}: was trained on {len(classes)} classes, but {len(labels)} labels were given",
                "list the classes of its training, in the same order",
            )
        models = load_models(bundle, "cpu", captions=False)
        widths = PromptLearnerWidths(
            context=0,
            text=models.clip.text_tower().width,
            patch=models.clip.patch_width,
            caption=models.caption_encoder.width,
        )
        state = from_official(checkpoint, tensors, widths)
        if PROJECTION[0] in state:
            projection = "from the checkpoint"
        elif seed is not None:
            state |= projection_of_seed(checkpoint, state, models.clip, widths.caption, seed)
            projection = f"drawn from seed {seed}"
        else:
            state |= no_projection(widths)
            projection = "missing from the checkpoint: set to zero, captions have no effect"
        save_file(state, built / WEIGHTS)
        (built / WEIGHTS).chmod(0o644)  # safetensors writes files for their owner alone
        write_adapter_manifest(
            built,
            bundle,
            name=path.name,
            head="bimors",
            labels=labels.names,
            temperature=1.0,
            training={
                "source": f"{checkpoint.name} of the published BiMoRS code",
                "caption projection": projection,
                "calibration": "none: temperature 1",
            },
        )
    return read_adapter(path)
