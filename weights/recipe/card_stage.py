"""Measures the finished bundle on test pictures, once, and writes `metrics.json` and `README.md` from the numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.model.evidence import Evidence, FrozenModels
from bimors_cli.model.heads import BimorsHead, ZeroShotHead, probabilities
from bimors_cli.model.prompt_learner import PromptLearner, PromptLearnerWidths
from recipe import card_text, data
from recipe.adapter_stage import CONTEXT, answers, gather, load_frozen, names_of
from recipe.common import Settings, read_json, write_json
from recipe.measures import bleu4, calibration_error, share
from recipe.words import SAID, names_class, spoken


def build(settings: Settings) -> None:
    """Measure, then write both files."""
    metrics = measure(settings)
    write_json(settings.out / "metrics.json", metrics)
    (settings.out / "README.md").write_text(card_text.card(metrics), encoding="utf-8")


def measure(settings: Settings) -> dict[str, Any]:
    bundle = open_bundle(settings.out)
    adapter = open_adapter(settings.out / ADAPTER, bundle)
    frozen = load_frozen(settings.out)
    weights = load_file(adapter.weights)
    context, text = weights["context"].shape
    patch, caption = weights["meta_net.0.weight"].shape[1], weights["caption_projection.weight"].shape[1]
    widths = PromptLearnerWidths(context, text, patch, caption)
    learner = PromptLearner(widths)
    learner.load_state_dict(weights)
    learner.eval().requires_grad_(False)

    sets = {"rsicd": data.rsicd(settings), "rsscn7": data.rsscn7(settings)}
    out: dict[str, Any] = {"test": {}, "split": {}}
    for name, parts in sets.items():
        out["split"][name] = {k: len(v) for k, v in parts.items()}
        test = parts["test"]
        evidence = gather(frozen, test)
        out["test"][name] = _heads(frozen, learner, evidence, test, bundle.zero_shot_temperature, adapter.temperature)
        if name == "rsicd":
            out["captions"] = _captions(evidence, test)
    out["temperature"] = {"zero-shot": bundle.zero_shot_temperature, "bimors": adapter.temperature}
    out["learned with validation pictures"] = settings.final
    out["seconds"] = _speed(frozen, sets["rsicd"]["test"].pixels[:256])
    out["size"] = _sizes(settings.out)
    out["vocabulary"] = len(bundle.vocabulary or ())
    logs = sorted((settings.work / "logs").glob("*.jsonl"))
    out["training runs"] = [_run(path) for path in logs if not path.stem.startswith(("tokenizers", "adapter", "try-"))]
    out["image tower"] = read_json(settings.out / "clip" / "open_clip_config.json")["model_cfg"]["vision_cfg"].get(
        "timm_model_name", "ViT"
    )
    out["seed"] = settings.seed
    notes = settings.work / "notes.txt"  # what the builder has to say about this very run
    out["notes"] = notes.read_text(encoding="utf-8").strip() if notes.exists() else ""
    compared = settings.work / "compare.json"
    out["image towers tried"] = read_json(compared) if compared.exists() else []
    return out


def _heads(
    frozen: FrozenModels, learner: PromptLearner, evidence: Evidence, test: data.Pictures, plain: float, tuned: float
) -> dict[str, Any]:
    labels = names_of(test)
    rows: dict[str, Any] = {}
    for name, head, temperature in (
        ("zero-shot", ZeroShotHead(frozen.clip, labels, CONTEXT), plain),
        ("bimors", BimorsHead(frozen.clip, labels, learner), tuned),
    ):
        logits = answers(head, evidence)
        right = logits.argmax(dim=1) == test.target
        rows[name] = {
            "accuracy": share(right),
            "calibration error before": calibration_error(probabilities(logits, 1.0), test.target),
            "calibration error after": calibration_error(probabilities(logits, temperature), test.target),
            "by class": {spoken(kind): share(right[test.target == i]) for i, kind in enumerate(test.classes)},
            "most confused": _confused(logits.argmax(dim=1), test),
        }
    return rows


def _confused(answer: torch.Tensor, test: data.Pictures) -> list[list[object]]:
    count = len(test.classes)
    table = torch.bincount(test.target * count + answer, minlength=count * count).view(count, count)
    table.fill_diagonal_(0)
    return [
        [spoken(test.classes[int(i) // count]), spoken(test.classes[int(i) % count]), int(table.flatten()[i])]
        for i in table.flatten().topk(8).indices
        if table.flatten()[i] > 0
    ]


def _captions(evidence: Evidence, test: data.Pictures) -> dict[str, Any]:
    kinds = [test.classes[int(i)] for i in test.target]
    named = torch.tensor([names_class(text, kind) for text, kind in zip(evidence.captions, kinds, strict=True)])
    human = torch.tensor([names_class(some[0], kind) for some, kind in zip(test.captions, kinds, strict=True)])
    # How often a caption would pass that was made for another picture: what the measure gives away for nothing.
    other = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(0)).tolist()
    blind = torch.tensor([names_class(evidence.captions[j], kind) for j, kind in zip(other, kinds, strict=True)])
    return {
        "names the class": share(named),
        "first human caption names the class": share(human),
        "caption of a random other picture names the class": share(blind),
        "by class": {spoken(kind): share(named[test.target == i]) for i, kind in enumerate(test.classes)},
        "BLEU-4": bleu4(evidence.captions, test.captions),
        "distinct": len(set(evidence.captions)),
        "empty": sum(not text for text in evidence.captions),
        # The sets' own sentences stay out of the project.
        "examples": [[test.files[i], evidence.captions[i]] for i in range(40, len(test), 250)],
        "words that count": {spoken(kind): list(stems) for kind, stems in SAID.items()},
    }


def _speed(frozen: FrozenModels, pixels: torch.Tensor) -> dict[str, Any]:
    """Milliseconds a picture by part, batches of 32, this machine's processor."""
    for rows in pixels[:64].split(32):
        frozen.gather(rows)
    frozen.seconds.clear()
    clock = time.monotonic()
    for rows in pixels.split(32):
        frozen.gather(rows)
    total = time.monotonic() - clock
    part = {k: round(1000 * v / len(pixels), 2) for k, v in frozen.seconds.items()}
    return {
        "milliseconds a picture": part,
        "pictures a second": round(len(pixels) / total, 1),
        "threads": torch.get_num_threads(),
        "batch": 32,
    }


def _sizes(folder: Path) -> dict[str, float]:
    """Megabytes by part."""
    parts = {
        p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) / 1e6
        for p in sorted(folder.iterdir())
        if p.is_dir() and not p.name.startswith(".")
    }
    return {k: round(v, 2) for k, v in parts.items()} | {"all": round(sum(parts.values()), 2)}


def _run(path: Path) -> dict[str, Any]:
    """Where a training run ended: its epochs, its minutes, and what its last measurement on validation said."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    together = {key: value for line in lines for key, value in line.items()}
    known = {
        "epoch": "epochs",
        "steps": "steps",
        "minutes": "minutes",
        "rsicd": "RSICD held out, zero-shot %",
        "rsscn7": "RSSCN7 validation, zero-shot %",
        "named": "captions that name the class, held out %",
        "held_out_words_right": "held-out words right %",
    }
    return {"run": path.stem} | {name: together[key] for key, name in known.items() if key in together}
