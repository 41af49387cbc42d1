"""Makes a bundle in the published shapes of CLIP ViT-B/16, BLIP-2 with flan-t5-xl and BERT, with random weights.

    python -m tests.benchmarks.full_size_bundle FOLDER --device cuda      # 9 GB, some 20 s on a GPU

Random weights are as fast as real ones. ``--layers 1`` makes one of the same widths that a CPU can run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.model.heads.bimors import PromptLearner
from bimors_cli.model.heads.registry import make_learner
from bimors_cli.pipeline.bundles.make import Sources, new_bundle
from bimors_cli.pipeline.inference.load import load_models
from tests.bundles import save_adapter
from tests.model import full_size

NAME = "full-size-random"


def make(folder: Path, device: str = "cpu", layers: int | None = None) -> Bundle:
    """Make the bundle in ``folder``, with an adapter of the prompt learner that was never trained."""
    torch.manual_seed(0)
    parts = folder.with_name(f"{folder.name}-parts")
    full_size.write_clip(parts / "clip", "ViT-B-16-quickgelu")
    full_size.write_bert(parts / "bert")
    text = full_size.flan_t5_xl(**({} if layers is None else {"num_layers": layers}))
    with torch.device(device):
        full_size.write_blip2(parts / "captioner", full_size.blip2(text, layers))
    bundle = new_bundle(
        folder,
        Sources(parts / "clip", None, parts / "captioner", parts / "bert"),
        name=NAME,
        description="random weights",
        context="a photo of a",
        licences={"weights": "none"},
        device=device,
        link=True,
    )
    models = load_models(bundle, device, captions=False)
    learner = make_learner("bimors", models, bundle.context, classes=2)
    assert isinstance(learner, PromptLearner)
    torch.nn.init.normal_(learner.attention.out_proj.weight, std=0.02)
    save_adapter(folder / ADAPTER, bundle, "bimors", learner, ["forest", "river"], name="untrained", temperature=1)
    return open_bundle(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, help="of each transformer; the published numbers by default")
    options = parser.parse_args(arguments)
    make(options.folder, options.device, options.layers)


if __name__ == "__main__":
    main()
