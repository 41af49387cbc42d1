"""Making a bundle from the user's own open_clip and transformers weights, which are copied and tested."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bimors_cli.bundle.input_bands import InputBands
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, MANIFEST, Bundle, write_bundle_manifest
from bimors_cli.bundle.training_domain import TrainingDomain
from bimors_cli.errors import BundleError, InputError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import CONFIG, WEIGHTS, Clip
from bimors_cli.model.clip_checkpoint import clip_weights
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.frozen_models import EncoderOutputs
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.loading import INDEX, read_json, weight_files
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from bimors_cli.options.band_names import CHANNELS
from bimors_cli.options.templates import check_templates
from bimors_cli.output.atomic import replacing_folder
from bimors_cli.pipeline.bundles.lora import merge_lora, read_lora
from bimors_cli.steps import step

TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
)
SETTINGS = ("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json")
# Other files of the hub's folders, such as model cards and weights in other formats, are not copied.


@dataclass(frozen=True)
class Sources:
    """Paths of the parts of a new bundle.

    ``clip`` is a folder in open_clip's ``local-dir:`` layout, or a safetensors file with ``clip_config``: an
    architecture of open_clip by its name, or a JSON file. ``captioner`` and ``caption_encoder`` are folders in the
    layout of transformers; None for a bundle without. ``captioner_lora`` is the folder of a LoRA in peft's layout,
    which is merged into the captioner.
    """

    clip: Path
    clip_config: str | None
    captioner: Path | None = None
    caption_encoder: Path | None = None
    captioner_lora: Path | None = None


def new_bundle(
    path: Path,
    sources: Sources,
    *,
    name: str,
    description: str,
    context: str,
    licences: Mapping[str, str],
    temperature: float = 1.0,
    templates: Sequence[str] = (),
    training_domain: TrainingDomain | None = None,
    bands: InputBands | None = None,
    device: str = "auto",
    link: bool = False,
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle without an adapter, for zero-shot classification until one is trained.

    Every part is tested with a random image before the bundle is moved into place.

    Parameters
    ----------
    path : Path
        Folder of the new bundle.
    sources : Sources
        Paths of its parts.
    name, description, context, licences
        See `Bundle`.
    temperature : float
        Divides the zero-shot head's logits.
    templates : sequence of str
        Templates of the zero-shot head; by default those for remote sensing.
    training_domain : TrainingDomain, optional
        What the models were trained on, if it is known.
    bands : InputBands, optional
        The bands that CLIP takes, if it does not take red, green and blue. Then the file of its weights may be a
        pickle, in which CLIP is a part of a larger module, see `bimors_cli.model.clip_checkpoint.clip_weights`.
    device : str
        The device of the test, see `choose_device`.
    link : bool
        Make hard links instead of copies, if the file system supports them.
    overwrite : bool
        Replace a bundle at ``path``.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `replacing_folder`; a source does not exist; an option is invalid.
    BundleError
        A part is incomplete, damaged or unsupported, or the LoRA does not match the captioner.
    """
    if not temperature > 0:
        raise InputError(f"--temperature {temperature:g}: must be more than 0")
    check_templates(templates, "--template")
    if bands is not None and sources.captioner is not None:
        raise InputError("--captioner is not supported with --bands: captioners need colours", "leave out --captioner")
    if sources.captioner_lora is not None and sources.captioner is None:
        raise InputError("--captioner-lora needs --captioner, the captioner that the LoRA was trained on")
    lora = None if sources.captioner_lora is None else read_lora(sources.captioner_lora)
    with replacing_folder(path, marker=MANIFEST, overwrite=overwrite) as built:
        copy = _link if link else shutil.copyfile
        parts = {CAPTIONER: sources.captioner, CAPTION_ENCODER: sources.caption_encoder}
        copied = {part: source for part, source in parts.items() if source is not None}
        with step("copying the models"):
            _copy_clip(sources, built / CLIP, copy, bands)
            for part, source in copied.items():
                _copy(source, built / part, _transformers_files(source), copy)
        if lora is not None and sources.captioner is not None:
            with step("merging the LoRA into the captioner"):
                merge_lora({file: built / CAPTIONER / file.name for file in weight_files(sources.captioner)}, lora)
        with step("testing the models"):
            side = _test_parts(built, templates or [f"{context} {{}}."], bands, choose_device(device))
        with step("hashing the files"):
            bundle = write_bundle_manifest(
                built,
                name=name,
                description=description,
                context=context,
                image_size=side,
                zero_shot_temperature=temperature,
                vocabulary=None,
                licences=dict.fromkeys((CLIP, *copied), "not stated") | dict(licences),
                templates=templates,
                training_domain=training_domain,
                bands=bands,
            )
    return replace(bundle, folder=path)


def _copy_clip(sources: Sources, target: Path, copy: Callable[[Path, Path], object], bands: InputBands | None) -> None:
    source = sources.clip
    if source.is_dir():
        if sources.clip_config is not None:
            raise InputError("--clip-config needs --clip with a file of weights, not a folder", "omit --clip-config")
        if not (source / WEIGHTS).is_file():
            pickles = sorted(p.name for suffix in ("bin", "pt", "pth") for p in source.glob(f"*.{suffix}"))
            if pickles:
                raise _pickle_error(source / pickles[0])
            raise BundleError(f"{source / WEIGHTS}: file not found", "use a folder in open_clip's layout")
        _copy(source, target, [CONFIG, WEIGHTS, *_existing(source, TOKENIZER)], copy)
        if bands is not None:
            config = read_json(target / CONFIG)
            (target / CONFIG).unlink()  # it may be a link to the source
            _write_config(target, config, bands)
        return
    if not source.is_file():
        raise InputError(f"--clip {source}: not found")
    if source.suffix != ".safetensors" and bands is None:
        raise _pickle_error(source)
    if sources.clip_config is None:
        raise InputError(
            f"--clip {source}: the architecture is missing",
            "add --clip-config with a name such as ViT-B-32, or a JSON file",
        )
    target.mkdir()
    if bands is None:
        copy(source.resolve(), target / WEIGHTS)
    else:
        extract_clip(source, target / WEIGHTS)
    _write_config(target, _clip_config(sources.clip_config), bands)
    if sources.clip_config.endswith(".json"):
        folder = Path(sources.clip_config).parent
        for file in _existing(folder, TOKENIZER):
            copy((folder / file).resolve(), target / file)


def extract_clip(source: Path, target: Path) -> None:
    """Write the weights of the open_clip model in a checkpoint, a pickle or safetensors, to a safetensors file.

    Raises
    ------
    BundleError
        The checkpoint is damaged, or has other tensors than one open_clip model.
    """
    with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
        path = source
        if source.suffix != ".safetensors":
            path = Path(folder) / "checkpoint.safetensors"
            pickle_to_safetensors(source, path)
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{source}: not a safetensors file, or damaged: {error}") from error
        save_file(clip_weights(source, tensors), target)
    target.chmod(0o644)  # safetensors writes files for their owner alone


def _write_config(folder: Path, config: Mapping[str, Any], bands: InputBands | None) -> None:
    content = config if bands is None else {**config, CHANNELS: len(bands)}
    (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _clip_config(given: str) -> dict[str, Any]:
    if given.endswith(".json"):
        content = read_json(Path(given))
        return content if "model_cfg" in content else {"model_cfg": content, "preprocess_cfg": {}}
    model = open_clip.get_model_config(given)
    if model is None:
        raise InputError(
            f"--clip-config {given}: not an architecture of open_clip", "use a name such as ViT-B-32, or a JSON file"
        )
    return {"model_cfg": model, "preprocess_cfg": {}}


def _transformers_files(source: Path) -> Iterator[str]:
    if not source.is_dir():
        raise InputError(f"{source}: folder not found", "use a folder in the layout of transformers")
    yield from _existing(source, (*SETTINGS, *TOKENIZER, INDEX))
    yield from (file.name for file in weight_files(source))


def _existing(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if (folder / name).is_file()]


def _copy(source: Path, target: Path, names: Iterator[str] | list[str], copy: Callable[[Path, Path], object]) -> None:
    target.mkdir()
    for name in names:
        try:
            # In the hub's cache, files are symbolic links.
            copy((source / name).resolve(), target / name)
        except FileNotFoundError as error:
            raise BundleError(f"{source / name}: file not found", "the folder is incomplete; copy it again") from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _pickle_error(path: Path) -> BundleError:
    return BundleError(
        f"{path}: not a safetensors file; pickles are not supported",
        f"convert it: python -m bimors_cli.model.pickle_to_safetensors {path} {path.with_suffix('.safetensors')}",
    )


def _test_parts(folder: Path, templates: Sequence[str], bands: InputBands | None, device: torch.device) -> int:
    """Run each part on a random image, one part in memory at a time; return the side of the largest input."""
    dtype = choose_dtype(device)
    clip = Clip.load(folder / CLIP, bands).to(device=device, dtype=dtype)
    side = clip.preprocessing.size
    image = _random_image(side, bands)
    feature, tokens = clip.encode_image(image.to(device))
    outputs = EncoderOutputs(feature, tokens, ("",), torch.zeros(1, 0))
    logits = ZeroShotHead(clip, Labels.of(["forest", "river"]), templates).forward(outputs)
    _check_finite(folder / CLIP, tokens, logits)
    del clip
    captions: list[str | None] = ["a river"]
    if (folder / CAPTIONER).is_dir():
        captioner = Captioner.load(folder / CAPTIONER, dtype, device)
        side = max(side, captioner.preprocessing.size)
        captions = captioner.caption(image.to(device))
        del captioner
    if (folder / CAPTION_ENCODER).is_dir():
        encoder = CaptionEncoder.load(folder / CAPTION_ENCODER, dtype, device)
        _check_finite(folder / CAPTION_ENCODER, encoder.embed(captions))
    return side


def _random_image(side: int, bands: InputBands | None) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    if bands is None:
        return torch.randint(0, 256, (1, 3, side, side), generator=random, dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (bands.mean, bands.std))
    return mean + std * torch.randn(1, len(bands), side, side, generator=random)


def _check_finite(folder: Path, *outputs: torch.Tensor) -> None:
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise BundleError(f"{folder}: the output for a test image is not finite", "the weights are damaged")
