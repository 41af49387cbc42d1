"""The bundle as a STAC Item with the machine-learning-model extension, for model catalogs: `mlm.json`."""

from __future__ import annotations

import re
from typing import Any

import torch

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import ADAPTER, CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from recipe.common import read_json

EXTENSIONS = ("https://stac-extensions.github.io/mlm/v1.6.0/schema.json",)
BANDS = [{"name": name, "description": "stretched to 0..255"} for name in ("red", "green", "blue")]
PARTS = {
    CLIP: "CLIP: image tower and text tower",
    CAPTIONER: "BLIP-2 captioner",
    CAPTION_ENCODER: "BERT caption encoder",
    ADAPTER: "adapter: weights of the trained head",
}
PAPERS = {
    "RSICD: Lu et al. 2018": "https://doi.org/10.1109/TGRS.2017.2776321",
    "AID, RSICD's images: Xia et al. 2017": "https://doi.org/10.1109/TGRS.2017.2685945",
    "RSSCN7: Zou et al. 2015": "https://doi.org/10.1109/LGRS.2015.2475299",
    "RSITMD: Yuan et al. 2022": "https://doi.org/10.1109/TGRS.2021.3078451",
    "BiMoRS, the method": "https://arxiv.org/abs/2601.20675",
}


def item(bundle: Bundle, adapter: Adapter, metrics: dict[str, Any]) -> dict[str, Any]:
    """Describe a measured bundle with its adapter.

    It has no geometry: the training images are from many places that are not recorded.
    """
    terms = "; ".join(f"{what}: {terms}" for what, terms in bundle.licences.items())
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": f"bimors-{bundle.name}",
        "geometry": None,
        "properties": {
            "title": f"bimors bundle {bundle.name}",
            "description": f"{bundle.description}. Terms: {terms}.",
            "datetime": metrics["measured"],
            "license": "other",
            "providers": [{"name": "bimors", "description": "Trained the weights.", "roles": ["producer"]}],
            "bands": BANDS,
            "mlm:name": f"bimors {bundle.name}",
            "mlm:architecture": "BiMoRS: CLIP with prompts conditioned on BLIP-2 captions",
            "mlm:tasks": ["scene-classification", "image-captioning"],
            "mlm:framework": "PyTorch",
            "mlm:framework_version": torch.__version__.split("+")[0],
            "mlm:total_parameters": metrics["size"]["all"]["weights"],
            "mlm:pretrained": False,
            "mlm:pretrained_source": None,
            "mlm:memory_size": round(1e6 * metrics["memory"]["MB"]),
            "mlm:batch_size_suggestion": metrics["speed"]["batch"],
            "mlm:accelerator": None,
            "mlm:accelerator_constrained": False,
            "mlm:input": [_clip_input(bundle), _captioner_input(bundle), _text_input(bundle)],
            "mlm:output": [_classes(adapter), _caption()],
            "mlm:hyperparameters": {re.sub(r"[^0-9a-zA-Z_.-]", "_", k): v for k, v in adapter.training.items()},
        },
        "links": [
            {"rel": "license", "href": "https://www.apache.org/licenses/LICENSE-2.0", "title": "of the weights"},
            *({"rel": "cite-as", "href": href, "title": title} for title, href in PAPERS.items()),
        ],
        "assets": _assets(bundle, adapter),
    }


def _image_input(name: str, description: str, size: int, mean: list[float], std: list[float]) -> dict[str, Any]:
    """Describe an image input with pixels of 0..255; the program normalises 0..1."""
    scaling = [{"type": "z-score", "mean": 255 * m, "stddev": 255 * s} for m, s in zip(mean, std, strict=True)]
    return {
        "name": name,
        "description": description,
        "bands": [band["name"] for band in BANDS],
        "input": {
            "shape": [-1, len(BANDS), size, size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
        "resize_type": "interpolation-cubic",
    }


def _clip_input(bundle: Bundle) -> dict[str, Any]:
    config = read_json(bundle.part(CLIP) / "open_clip_config.json")
    how = config["preprocess_cfg"]
    side = int(config["model_cfg"]["vision_cfg"]["image_size"])
    return _image_input("tile", "A tile as CLIP's image tower sees it.", side, how["mean"], how["std"])


def _captioner_input(bundle: Bundle) -> dict[str, Any]:
    side = int(read_json(bundle.part(CAPTIONER) / "config.json")["vision_config"]["image_size"])
    how = read_json(bundle.part(CAPTIONER) / "preprocessor_config.json")
    what = "The same tile as the captioner sees it."
    return _image_input("tile for the captioner", what, side, how["image_mean"], how["image_std"])


def _text_input(bundle: Bundle) -> dict[str, Any]:
    length = read_json(bundle.part(CLIP) / "open_clip_config.json")["model_cfg"]["text_cfg"]["context_length"]
    return {
        "name": "class names",
        "description": "The user's own labels as tokens; the classes of the output are an example.",
        "bands": [],
        "input": {"shape": [-1, length], "dim_order": ["class", "token"], "data_type": "int64"},
    }


def _classes(adapter: Adapter) -> dict[str, Any]:
    # The name of a class must be one word; its description is the label of the program.
    names = [re.sub(r"[^0-9A-Za-z_-]+", "-", label) for label in adapter.labels]
    return {
        "name": "scene class",
        "description": "Calibrated probability of each label; these are the adapter's.",
        "tasks": ["scene-classification"],
        "bands": [],
        "result": {"shape": [-1, len(names)], "dim_order": ["batch", "class"], "data_type": "float32"},
        "classification:classes": [
            {"value": value, "name": name, "description": label}
            for value, (name, label) in enumerate(zip(names, adapter.labels, strict=True))
        ],
    }


def _caption() -> dict[str, Any]:
    return {
        "name": "caption",
        "description": "A sentence about each tile.",
        "tasks": ["image-captioning"],
        "bands": [],
        "result": {"shape": [-1], "dim_order": ["batch"], "data_type": "other"},
    }


def _assets(bundle: Bundle, adapter: Adapter) -> dict[str, Any]:
    files = [entry.path for entry in bundle.files] + [f"{ADAPTER}/{entry.path}" for entry in adapter.files]
    weights: dict[str, Any] = {
        path.split("/")[0]: {
            "href": f"./{path}",
            "title": PARTS[path.split("/")[0]],
            "type": "application/octet-stream",
            "roles": ["mlm:model", "mlm:weights"],
            "mlm:artifact_type": "safetensors.torch.save_file",
        }
        for path in files
        if path.endswith(".safetensors")
    }
    documents = {
        "card": ("README.md", "Model card", "text/markdown"),
        "metrics": ("metrics.json", "All measured numbers", "application/json"),
        "manifest": ("manifest.json", "Every file with its size and SHA-256", "application/json"),
    }
    for part in (CLIP, CAPTIONER):  # the core schema requires bands in the asset, the extension in the item
        weights[part]["bands"] = BANDS
    return weights | {
        key: {"href": f"./{name}", "title": title, "type": kind, "roles": ["metadata"]}
        for key, (name, title, kind) in documents.items()
    }
