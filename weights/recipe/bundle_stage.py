"""Make a bundle of the frozen models: temperature of the zero-shot head, and manifest.

The temperature is fitted on held-out images that no model was trained on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, Bundle, write_bundle_manifest
from bimors_cli.bundle.training_domain import TrainingDomain
from bimors_cli.labels import Labels
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels, concatenate
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.extract_features import load_features, save_features
from bimors_cli.training.train import predict_logits
from recipe import data
from recipe.common import Settings, read_json
from recipe.words import display_name

CONTEXT = "a photo of a"
# Selected on held-out images, 720 of RSICD and 269 of RSSCN7, by accuracy in per cent and cross-entropy: this one 90.56
# (0.3127) and 88.10 (0.3257), the eleven of the training 90.42 (0.3123) and 88.10 (0.3257), ten for remote sensing
# 90.97 (0.3074) and 88.10 (0.3375). None is significantly better, and this one is that of an untrained prompt.
TEMPLATES = (f"{CONTEXT} {{}}.",)
# RSICD's images are those of AID: 600 x 600 pixels of 0.5 to 8 m (Xia et al. 2017), here reduced to 150 x 150. The
# pixel sizes of RSSCN7, 400 x 400 pixels of Google Earth at four scales, are not published.
AID_PIXELS, AID_SIDE = (0.5, 8.0), 600
DOMAIN = TrainingDomain(
    pixel_size_m=AID_PIXELS,
    tile_size_m=(AID_PIXELS[0] * AID_SIDE, AID_PIXELS[1] * AID_SIDE),
    bands=("red", "green", "blue"),
    sensors=("aerial photographs", "Google Earth imagery"),
)
LICENCES = {
    "weights": "Apache-2.0 (this project), made from imagery with terms of its own: for research use",
    "RSICD / AID imagery and captions": "not redistributed; cite Lu et al. 2018 and Xia et al. 2017; research use",
    "RSSCN7 imagery": "not redistributed; cite Zou et al. 2015; licence not stated",
    "RSITMD captions": "not redistributed; cite Yuan et al. 2022; licence not stated",
}


def names_of(images: data.ImageSet) -> Labels:
    return Labels.of([display_name(kind) for kind in images.classes])


def encode(frozen: FrozenModels, images: data.ImageSet, batch: int = 64) -> EncoderOutputs:
    """Encode all images, as the program does."""
    return concatenate([frozen.encode(rows) for rows in images.pixels.split(batch)])


def cached(settings: Settings, bundle: Bundle, name: str, make: Callable[[], EncoderOutputs]) -> EncoderOutputs:
    """Load encoder outputs of an earlier run from the work folder, or make and save them."""
    path = settings.work / "evidence" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    key = f"{bundle.sha256} {settings.seed}"
    found = load_features(path, key, settings.device)
    if found is None:
        found = (make(),)
        save_features(path, key, found)
    return found[0]


def _manifest(settings: Settings, name: str, temperature: float, sides: Sequence[int]) -> Bundle:
    return write_bundle_manifest(
        settings.out,
        name=name,
        description="Small models trained from nothing on RSICD and RSSCN7 pictures",
        context=CONTEXT,
        image_size=max(sides),
        zero_shot_temperature=temperature,
        vocabulary=read_json(settings.work / "vocabulary.json"),
        licences=LICENCES,
        templates=TEMPLATES,
        training_domain=DOMAIN,
    )


def build(settings: Settings, lender: Path | None = None) -> None:
    """Fit the zero-shot head's temperature and write ``manifest.json``.

    With a ``lender`` the captioner and the caption encoder are those of another bundle: a CLIP that was trained for a
    few epochs is then combined with a better captioner, as a large CLIP is with a large captioner.
    """
    if lender is not None:
        for part in (CAPTIONER, CAPTION_ENCODER):
            shutil.copytree(lender / part, settings.out / part, dirs_exist_ok=True)
    name = "mini-early" if lender else "mini-without-new" if settings.without else "mini"
    bundle = _manifest(settings, name, 1.0, [1])  # needed to load the models as the program does
    frozen = load_models(bundle, settings.device.type)
    assert isinstance(frozen.captioner, Captioner)
    fitting = data.rsicd(settings)["fitting"]
    unseen = cached(settings, bundle, "fitting", lambda: encode(frozen, fitting))
    logits = predict_logits(ZeroShotHead(frozen.clip, names_of(fitting), TEMPLATES), unseen)
    temperature = fit_temperature(logits, fitting.target)
    right = round(100 * float((logits.argmax(dim=1) == fitting.target).float().mean()), 2)
    settings.log("bundle", temperature=round(temperature, 4), right_on_fitting=right)
    _manifest(settings, name, temperature, [frozen.clip.preprocessing.size, frozen.captioner.preprocessing.size])
