"""A bundle from the user's own open_clip and transformers weights: gathered, tried, and put in place whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import open_clip
import torch

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, MANIFEST, Bundle, write_bundle_manifest
from bimors_cli.errors import BundleError, InputError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import CONFIG, WEIGHTS, Clip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.evidence import EncoderOutputs
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.loading import INDEX, read_json, weight_files
from bimors_cli.options.templates import check_templates
from bimors_cli.output.atomic import replacing_folder

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
# In their folders the hub keeps cards, and the same weights for other programs: none of it goes into a bundle.

_Part = TypeVar("_Part", Clip, Captioner, CaptionEncoder)


@dataclass(frozen=True)
class Sources:
    """Where the parts of a new bundle lie.

    ``clip`` is a folder in open_clip's ``local-dir:`` layout, or a safetensors file with ``clip_config``: an
    architecture that open_clip knows by name, or a JSON file. ``captioner`` and ``caption_encoder`` are folders as
    transformers saves them.
    """

    clip: Path
    clip_config: str | None
    captioner: Path
    caption_encoder: Path


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
    device: str = "auto",
    link: bool = False,
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle without an adapter: it answers zero-shot until one is trained.

    Every part looks at one random picture before the bundle is put in its place.

    Parameters
    ----------
    path : Path
        The folder to be.
    sources : Sources
        Its parts.
    name, description, context, licences
        See `Bundle`.
    temperature : float
        Divides the zero-shot head's logits.
    templates : sequence of str
        The zero-shot head's; without any those for remote sensing.
    device : str
        Where the parts are tried, see `choose_device`.
    link : bool
        Whether files are linked (hard) instead of copied, where the file system can.
    overwrite : bool
        Whether a bundle at ``path`` is replaced.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `replacing_folder`; a source is missing; a value cannot be.
    BundleError
        A part cannot be used.
    """
    if not temperature > 0:
        raise InputError(f"--temperature {temperature:g}: must be more than 0")
    check_templates(templates, "--template")
    with replacing_folder(path, marker=MANIFEST, overwrite=overwrite) as built:
        put = _link if link else shutil.copyfile
        _gather_clip(sources, built / CLIP, put)
        for source, part in ((sources.captioner, CAPTIONER), (sources.caption_encoder, CAPTION_ENCODER)):
            _gather(source, built / part, _transformers_files(source), put)
        side = _try_out(built, templates or [f"{context} {{}}."], choose_device(device))
        bundle = write_bundle_manifest(
            built,
            name=name,
            description=description,
            context=context,
            image_size=side,
            zero_shot_temperature=temperature,
            vocabulary=None,
            licences=dict.fromkeys((CLIP, CAPTIONER, CAPTION_ENCODER), "not stated") | dict(licences),
            templates=templates,
        )
    return replace(bundle, folder=path)


def _gather_clip(sources: Sources, target: Path, put: Callable[[Path, Path], object]) -> None:
    source = sources.clip
    if source.is_dir():
        if sources.clip_config is not None:
            raise InputError("--clip-config goes with a file of weights; the folder has its own", "leave it out")
        if not (source / WEIGHTS).is_file():
            pickles = sorted(p.name for suffix in ("bin", "pt", "pth") for p in source.glob(f"*.{suffix}"))
            if pickles:
                raise _a_pickle(source / pickles[0])
            raise BundleError(f"{source / WEIGHTS}: missing", "give a folder in open_clip's layout")
        _gather(source, target, [CONFIG, WEIGHTS, *_present(source, TOKENIZER)], put)
        return
    if not source.is_file():
        raise InputError(f"--clip {source}: neither a folder nor a file")
    if source.suffix != ".safetensors":
        raise _a_pickle(source)
    if sources.clip_config is None:
        raise InputError(f"--clip {source}: weights alone", "say their architecture: --clip-config ViT-B-32, or a file")
    target.mkdir()
    put(source.resolve(), target / WEIGHTS)
    (target / CONFIG).write_text(json.dumps(_clip_config(sources.clip_config), indent=1) + "\n", encoding="utf-8")
    if sources.clip_config.endswith(".json"):
        folder = Path(sources.clip_config).parent
        for file in _present(folder, TOKENIZER):
            put((folder / file).resolve(), target / file)


def _clip_config(given: str) -> dict[str, Any]:
    if given.endswith(".json"):
        content = read_json(Path(given))
        return content if "model_cfg" in content else {"model_cfg": content, "preprocess_cfg": {}}
    model = open_clip.get_model_config(given)
    if model is None:
        raise InputError(f"--clip-config {given}: open_clip knows no such architecture", "ViT-B-32, or a JSON file")
    return {"model_cfg": model, "preprocess_cfg": {}}


def _transformers_files(source: Path) -> Iterator[str]:
    if not source.is_dir():
        raise InputError(f"{source}: no such folder", "give a folder as transformers saves it")
    yield from _present(source, (*SETTINGS, *TOKENIZER, INDEX))
    yield from (file.name for file in weight_files(source))


def _present(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if (folder / name).is_file()]


def _gather(source: Path, target: Path, names: Iterator[str] | list[str], put: Callable[[Path, Path], object]) -> None:
    target.mkdir()
    for name in names:
        try:
            # The hub's cache has links where its files should be.
            put((source / name).resolve(), target / name)
        except FileNotFoundError as error:
            raise BundleError(f"{source / name}: missing", "the folder is incomplete; copy it again") from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _a_pickle(path: Path) -> BundleError:
    return BundleError(
        f"{path}: not safetensors; bimors loads no pickles",
        f"write it as safetensors once: python -m bimors_cli.model.pickle_to_safetensors {path} "
        f"{path.with_suffix('.safetensors')}",
    )


def _try_out(folder: Path, templates: Sequence[str], device: torch.device) -> int:
    """Let each part look at a random picture, one part in memory at a time; return the side of the largest input."""
    dtype = choose_dtype(device)
    clip = _placed(Clip.load(folder / CLIP), device, dtype)
    side = clip.preprocessing.size
    picture = torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    feature, tokens = clip.encode_image(picture.to(device))
    nothing = EncoderOutputs(feature, tokens, ("",), torch.zeros(1, 0))
    answer = ZeroShotHead(clip, Labels.of(["forest", "river"]), templates).forward(nothing)
    _finite(folder / CLIP, tokens, answer)
    del clip
    captioner = _placed(Captioner.load(folder / CAPTIONER, dtype), device, dtype)
    side = max(side, captioner.preprocessing.size)
    captions = captioner.caption(picture.to(device))
    del captioner
    encoder = _placed(CaptionEncoder.load(folder / CAPTION_ENCODER, dtype), device, dtype)
    _finite(folder / CAPTION_ENCODER, encoder.embed(captions))
    return side


def _placed(part: _Part, device: torch.device, dtype: torch.dtype) -> _Part:
    return part.to(device=device, dtype=dtype)


def _finite(folder: Path, *answers: torch.Tensor) -> None:
    if not all(bool(torch.isfinite(answer).all()) for answer in answers):
        raise BundleError(f"{folder}: its answer to a picture is not a number", "the weights are damaged")
