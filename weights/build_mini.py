"""Build the embedded bundle `mini/` from labelled images and captions, with random initial weights.

    python weights/build_mini.py all --imagery ../shared/imagery --splits ../shared/splits --final

Stages can also be run one by one, in the order of `STAGES`; an interrupted stage resumes after its last complete epoch.
Set OMP_WAIT_POLICY=PASSIVE on a machine that runs other work: otherwise training may take ten times as long.
Two stages are not part of `all`: `compare` trains image towers for equal times, `heads` evaluates trainable heads
(`mini/heads.md`). The bundle is described in `mini/README.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from recipe import captioner_stage, clip_stage, data, encoder_stage, vocab
from recipe.common import Settings

STAGES = ("tokenizers", "clip", "captioner", "caption-encoder", "bundle", "novelty", "adapter", "card")


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=(*STAGES, "compare", "heads", "all"))
    parser.add_argument("--imagery", type=Path, required=True, help="folder with rsicd/, rsscn7/, rsitmd_captions.txt")
    parser.add_argument("--splits", type=Path, required=True, help="folder with rsicd.json")
    parser.add_argument("--work", type=Path, default=Path(".build-mini"), help="caches, checkpoints, logs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "mini", help="folder of the bundle")
    parser.add_argument(
        "--final", action="store_true", help="train on validation images too, as for the shipped bundle"
    )
    parser.add_argument(
        "--without-new",
        action="store_true",
        help="omit the new classes of base-to-new, the second half of the classes of the split file",
    )
    parser.add_argument(
        "--lender",
        type=Path,
        metavar="BUNDLE",
        help="use captioner and caption encoder of this bundle; only CLIP is trained",
    )
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], metavar="BUNDLE", help="another bundle for the stage heads"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="precision of training")
    parser.add_argument("--epochs", type=int, help="number of epochs, instead of the default of the stage")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="end the run after this time instead of a number of epochs (not reproducible bit by bit)",
    )
    parser.add_argument("--name", help="name of the run, of its checkpoint and log")
    parser.add_argument("--trunk", help="image tower: a timm model, or vit")
    parser.add_argument("--side", type=int, help="input size of CLIP or the captioner, in pixels")
    parser.add_argument("--adamw", action="store_true", help="train CLIP without Muon, for comparison")
    parser.add_argument("--rate", type=float, help="maximum learning rate")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    """Run the given stage."""
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
    overrides = {"epochs": args.epochs, "name": args.name, "rate": args.rate, "limit": args.minutes or None}
    overrides |= {
        "talk_epochs": args.epochs,
        "side": args.side,
        "trunk": args.trunk,
        "muon": False if args.adamw else None,
    }

    def plan(kind: type[Any]) -> Any:
        fields = {field.name for field in dataclasses.fields(kind)}
        return kind(**{key: value for key, value in overrides.items() if value is not None and key in fields})

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
        elif stage == "novelty":
            from recipe import novelty_stage

            novelty_stage.build(settings)
        elif stage == "adapter":
            from recipe import adapter_stage  # needs models of the program, which the training stages do not

            adapter_stage.build(settings)
        elif stage == "heads":
            from recipe import heads_stage

            heads_stage.build(settings, args.beside)
        elif stage == "card":
            from recipe import card_stage

            card_stage.build(settings)


if __name__ == "__main__":
    main()
