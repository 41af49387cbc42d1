"""Measure the finished bundle on test images, and write its metrics, charts and model card."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.pipeline.inference.load import load_models
from recipe import card_captions, card_changes, card_costs, card_heads, card_logs, card_stac, card_text, data
from recipe.card_heads import BIMORS, ZERO_SHOT
from recipe.common import Settings, read_json, write_json


def build(settings: Settings) -> None:
    """Measure; write ``metrics.json``, the charts, ``mlm.json`` and ``README.md``."""
    memory = card_costs.peak_memory(settings.out)  # before the images fill the memory of a small machine
    sets = {"rsicd": data.rsicd(settings), "rsscn7": data.rsscn7(settings)}
    metrics = measure(settings, sets) | {"memory": memory}
    bundle = open_bundle(settings.out)
    write_json(settings.out / "metrics.json", metrics)
    item = card_stac.item(bundle, open_adapter(bundle.part(ADAPTER), bundle), metrics)
    write_json(settings.out / "mlm.json", item)
    (settings.out / "README.md").write_text(card_text.card(metrics), encoding="utf-8")


def measure(settings: Settings, sets: Mapping[str, Mapping[str, data.ImageSet]]) -> dict[str, Any]:
    """Measure a bundle on the ``test`` part of each set, and draw its charts into its folder."""
    bundle = open_bundle(settings.out)
    adapter = open_adapter(bundle.part(ADAPTER), bundle)
    models = load_models(bundle, "cpu")
    out: dict[str, Any] = {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seed": settings.seed,
        "split": {name: {k: len(v) for k, v in parts.items()} for name, parts in sets.items()},
        "learned with validation pictures": settings.final,
        "test": {},
        "difference": {},
        "changed": {},
    }
    for name, parts in sets.items():
        predictions = card_heads.predict(models, adapter, parts["test"])
        out["test"][name] = card_heads.figures(predictions)
        out["difference"][name] = card_heads.differences(predictions, settings.seed)
        card_heads.draw(settings.out, name, predictions)
        out["changed"][name] = card_changes.figures(models, parts["test"])
        if parts["test"].captions:
            out["captions"] = card_captions.figures(predictions.captions, parts["test"])
    out["temperature"] = {ZERO_SHOT: bundle.zero_shot_temperature, BIMORS: adapter.temperature}
    out["adapter"] = {"name": adapter.name, "labels": list(adapter.labels), "training": dict(adapter.training)}
    out["speed"] = card_costs.speed(bundle, sets["rsicd"]["test"].pixels[:256])
    out["size"] = card_costs.sizes(settings.out)
    out["vocabulary"] = len(bundle.vocabulary or ())
    out["towers"] = _towers(settings)
    logs = card_logs.paths(settings.work)
    out["training runs"] = [card_logs.ended(path) for path in logs]
    out["ended by the clock"] = [path.stem for path in logs if card_logs.by_the_clock(path)]
    out["training cost"] = card_logs.cost(out["training runs"])
    out["curves"] = card_logs.draw(settings.out, settings.work)
    notes = settings.work / "notes.txt"  # notes on this run, written by hand
    out["notes"] = notes.read_text(encoding="utf-8").strip() if notes.exists() else ""
    compared = settings.work / "compare.json"
    out["image towers tried"] = read_json(compared) if compared.exists() else []
    return out


def _towers(settings: Settings) -> dict[str, Any]:
    clip = read_json(settings.out / "clip" / "open_clip_config.json")["model_cfg"]
    encoder = read_json(settings.out / "caption_encoder" / "config.json")
    return {
        "image tower": clip["vision_cfg"].get("timm_model_name", "ViT"),
        "image side": clip["vision_cfg"]["image_size"],
        "text layers": clip["text_cfg"]["layers"],
        "text length": clip["text_cfg"]["context_length"],
        "caption encoder layers": encoder["num_hidden_layers"],
    }
