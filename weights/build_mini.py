"""Build the embedded bundle `mini/` from labelled images and captions, from nothing but chance.

    python weights/build_mini.py all --imagery ../shared/imagery --splits ../shared/splits --final

One stage at a time works as well, in the order of `STAGES`; a stage that was cut off goes on from its last whole epoch.
With OMP_WAIT_POLICY=PASSIVE in the environment a busy machine costs its share of the time and not ten times as much.
Two are apart from `all`: `compare` tries image towers for equal minutes, `heads` compares what can be trained on top
(`mini/heads.md`). What a stage made is described in `mini/README.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from recipe import captioner_stage, clip_stage, data, encoder_stage, vocab
from recipe.common import Settings

STAGES = ("tokenizers", "clip", "captioner", "caption-encoder", "bundle", "adapter", "card")


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=(*STAGES, "compare", "heads", "all"))
    parser.add_argument("--imagery", type=Path, required=True, help="folder with rsicd/, rsscn7/, rsitmd_captions.txt")
    parser.add_argument("--splits", type=Path, required=True, help="folder with rsicd.json")
    parser.add_argument("--work", type=Path, default=Path(".build-mini"), help="caches, checkpoints, logs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "mini", help="the bundle")
    parser.add_argument("--final", action="store_true", help="learn from validation images too, as the shipped one")
    parser.add_argument(
        "--without-new",
        action="store_true",
        help="leave out the classes that base-to-new calls new (the later half of the split file's), so that they are",
    )
    parser.add_argument(
        "--lender", type=Path, metavar="BUNDLE", help="take captioner and caption encoder from it; CLIP alone is new"
    )
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], metavar="BUNDLE", help="another bundle for heads to compare"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="of training alone")
    parser.add_argument("--epochs", type=int, help="instead of each stage's own")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="stop and cool down by the clock instead of the epochs (then not repeatable bit for bit)",
    )
    parser.add_argument("--name", help="of the run: its checkpoint and log")
    parser.add_argument("--trunk", help="image tower: a timm model, or vit")
    parser.add_argument("--side", type=int, help="side of the image that CLIP or the captioner sees")
    parser.add_argument("--adamw", action="store_true", help="CLIP without Muon, for comparison")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    """Run the stage that was asked for."""
    args = _arguments(given)
    torch.set_num_threads(args.threads)
    settings = Settings(
        args.imagery,
        args.splits,
        args.work,
        args.out,
        args.seed,
        args.threads,
        args.precision,
        args.final,
        frozenset(data.new_classes(args.splits)) if args.without_new else frozenset(),
    )
    settings.work.mkdir(parents=True, exist_ok=True)
    (settings.work / ".gitignore").write_text("*\n", encoding="utf-8")
    asked = {"epochs": args.epochs, "name": args.name, "rate": args.rate, "limit": args.minutes or None}
    asked |= {"talk_epochs": args.epochs, "side": args.side, "trunk": args.trunk, "muon": False if args.adamw else None}

    def plan(kind: type[Any]) -> Any:
        fields = {field.name for field in dataclasses.fields(kind)}
        return kind(**{key: value for key, value in asked.items() if value is not None and key in fields})

    for stage in STAGES if args.stage == "all" else (args.stage,):
        if stage == "tokenizers":
            vocab.build(settings)
        elif stage == "clip":
            clip_stage.build(settings, plan(clip_stage.Plan))
        elif stage == "compare":
            clip_stage.compare(settings, args.minutes or 3.0)
        elif stage == "captioner":
            captioner_stage.build(settings, plan(captioner_stage.Plan))
        elif stage == "caption-encoder":
            encoder_stage.build(settings, plan(encoder_stage.Plan))
        elif stage == "bundle":
            from recipe import bundle_stage

            bundle_stage.build(settings, args.lender)
        elif stage == "adapter":
            from recipe import adapter_stage  # needs the program itself, which the training stages do not

            adapter_stage.build(settings)
        elif stage == "heads":
            from recipe import heads_stage

            heads_stage.build(settings, args.beside)
        elif stage == "card":
            from recipe import card_stage

            card_stage.build(settings)


if __name__ == "__main__":
    main()
